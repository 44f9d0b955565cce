"""Functions as models: `@tis.model` on a function or a class, served with `tis serve app.py` or from a repository.

Declarations only. What calls the functions is `tis_workers.python_api.function_model`; docs/functions.md tells all.
"""

from tis.functions.declaration import Declaration, declaration_of, model
from tis.functions.specs import Batching, DeclarationError, Tensor, batching, tensor

__all__ = ["Batching", "Declaration", "DeclarationError", "Tensor", "batching", "declaration_of", "model", "tensor"]
