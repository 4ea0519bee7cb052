"""Plain views of sharded tensors, for the element-wise arithmetic of optimisers and clipping."""

from torch import Tensor
from torch.distributed.tensor import DTensor


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor, sharing its memory; a plain tensor is returned itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def local_grad(parameter: Tensor) -> Tensor:
    """Return this rank's part of the gradient, laid out as the parameter is."""
    grad = parameter.grad
    if grad is None:
        raise ValueError("the parameter has no gradient")
    if isinstance(grad, DTensor) and isinstance(parameter, DTensor) and grad.placements != parameter.placements:
        grad = grad.redistribute(placements=parameter.placements)
    return local(grad)
