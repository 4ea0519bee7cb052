"""Lightning without transformers and SciPy: up to two seconds less until the first step, where they are installed.

Lightning imports torchmetrics, and that imports transformers at once for metrics that few runs use (BERTScore, CLIP
score), and `scipy.signal` to give it back a name that an old package for sound wants. Here stand-ins take their places
while torchmetrics is imported; what torchmetrics took from transformers imports the real one when it is first used.
Seen with torchmetrics 1.9.
"""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEFERRED, IMPORTER = ("transformers", "scipy", "scipy.signal"), "torchmetrics"


class DeferredName:
    """A class or function that is imported when it is called, asked for an attribute, or for an instance of it."""

    def __init__(self, module: str, name: str) -> None:
        self._deferred_module, self._deferred_name = module, name

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._deferred_module), self._deferred_name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())


class _StandIn(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # whoever asks whether it is installed looks at this

    def __getattr__(self, name: str) -> DeferredName:
        if name.startswith("__"):
            raise AttributeError(name)
        return DeferredName(self.__name__, name)


class _WithStandIn(Loader):
    """Loads torchmetrics as `loader` does, with stand-ins in the places of what is deferred meanwhile."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        tops = {name.partition(".")[0] for name in DEFERRED}
        tops = {name for name in tops if name not in sys.modules and PathFinder.find_spec(name) is not None}
        stand_ins = {name: _StandIn(name) for name in DEFERRED if name.partition(".")[0] in tops}
        for name, stand_in in stand_ins.items():
            parent, _, last = name.rpartition(".")
            if parent:
                setattr(stand_ins[parent], last, stand_in)
        sys.modules.update(stand_ins)
        try:
            self.loader.exec_module(module)
        finally:
            for name in stand_ins:
                del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds torchmetrics, once."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != IMPORTER:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithStandIn(spec.loader)
        return spec


def defer_optional_imports() -> None:
    """Have the next import of torchmetrics leave them for later; nothing where that, or they, are imported already."""
    if IMPORTER not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
