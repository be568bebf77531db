"""What is used of torchvision; imported from here, it does not bring torch's compiler along."""

from dmtl.models.shared.imports import without_compiler

with without_compiler():
    from torchvision.models import get_model, get_model_weights, list_models
    from torchvision.models.resnet import BasicBlock, Bottleneck

__all__ = ["BasicBlock", "Bottleneck", "get_model", "get_model_weights", "list_models"]
