"""What is used of Lightning Fabric; imported from here, it does not bring torch's compiler along."""

from dmtl.models.shared.imports import without_compiler

with without_compiler():
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.wrappers import _FabricModule as FabricModule
    from lightning_fabric.wrappers import _FabricOptimizer as FabricOptimizer

__all__ = ["DDPStrategy", "Fabric", "FabricModule", "FabricOptimizer"]
