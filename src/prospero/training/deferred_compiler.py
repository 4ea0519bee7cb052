"""torch and Lightning without torch's compiler until something compiles: a third of all imports before a first step.

`torch._dynamo` brings SymPy, FSDP and Inductor. Lightning imports it for the name of a class that it asks instances for
and for a decorator; torch's optimisers import it when one of their methods is first called, to keep the compiler out of
it or to break its graph. While it is not imported nothing compiles, so no instance exists and nothing has to be kept
out. Once it is, all goes its own way. Seen with lightning 2.6.6 and torch 2.13.
"""

import functools
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
IMPORTERS = (
    "lightning.fabric.wrappers",
    "lightning.pytorch.utilities.compile",
    "lightning.pytorch.trainer.connectors.logger_connector.result",
)
"""They take from it no more than OptimizedModule and torch.compiler.disable."""
KEPT_OUT = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of torch.optim.Optimizer that import the compiler when they are first called."""


class _OptimizedModule(type):
    """Stands for the class of compiled modules in `isinstance`."""

    def __instancecheck__(cls, instance: Any) -> bool:
        compiler = sys.modules.get(COMPILER)
        return compiler is not None and isinstance(instance, compiler.OptimizedModule)


class OptimizedModule(metaclass=_OptimizedModule):
    """What Lightning holds in the place of torch's class."""


class _KeptOut:
    """A function that the compiler must not enter, called as it is while there is none."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.disabled = function, None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.disabled is None:
            compiler = sys.modules.get(COMPILER)
            if compiler is None:
                return self.function(*args, **kwargs)
            self.disabled = compiler.disable(self.function, wrapping=False)
        return self.disabled(*args, **kwargs)


def _disable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Stands for torch.compiler.disable as a decorator."""
    kept_out = _KeptOut(function)

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return kept_out(*args, **kwargs)

    return inner


class _WithoutCompiler(Loader):
    """Loads a module as `loader` does, with stand-ins for what it takes from the compiler."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        import torch

        if COMPILER in sys.modules:
            self.loader.exec_module(module)
            return
        _keep_out(torch.optim)
        stand_in, disable = ModuleType(COMPILER), torch.compiler.disable
        vars(stand_in)["OptimizedModule"] = OptimizedModule
        sys.modules[COMPILER], torch.compiler.disable = stand_in, _disable
        takes_more = False
        try:
            self.loader.exec_module(module)
        except (ImportError, AttributeError):
            takes_more = True
        finally:
            torch.compiler.disable = disable
            del sys.modules[COMPILER]
        if takes_more:  # of another version; what is wrong besides is raised again
            self.loader.exec_module(module)


def _keep_out(optim: Any) -> None:
    """Let the optimisers of torch.optim work without the compiler."""
    for name in KEPT_OUT:
        function = getattr(getattr(optim.Optimizer, name), "__wrapped__", None)
        if function is not None and not hasattr(function, "__dynamo_disable"):
            function.__dynamo_disable = _KeptOut(function)
    for kind in {optim.Adadelta, optim.Adagrad, optim.Adam, optim.NAdam, optim.RAdam, optim.RMSprop, optim.SGD}:
        step = kind.step
        if "__wrapped__" in vars(step) and "hooked" not in vars(step):  # an instance has hooked it before
            kind.step = _without_breaks(step)


def _without_breaks(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return an optimiser's `step` that, while there is no compiler, does not import it to break its graph."""
    import torch

    own = vars(step)["__wrapped__"]

    @functools.wraps(step)
    def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
        if COMPILER in sys.modules:
            return step(self, *args, **kwargs)
        before = torch.is_grad_enabled()
        try:
            torch.set_grad_enabled(self.defaults["differentiable"])
            return own(self, *args, **kwargs)
        finally:
            torch.set_grad_enabled(before)

    return inner


class _Finder(MetaPathFinder):
    """Finds the modules of Lightning that import the compiler."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in IMPORTERS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithoutCompiler(spec.loader)
        return spec


def defer_compiler() -> None:
    """Have Lightning's imports and torch's optimisers leave it for later; nothing where it is imported already."""
    if COMPILER not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
