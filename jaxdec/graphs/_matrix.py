"""Weight matrices as they come in."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from jaxdec import checks


def as_matrix(W: Any) -> Any:
    """W in float64, as a csr_array if it is sparse, else as an ndarray; checked to be square and finite."""
    given = type(W)
    try:
        kind = (W if sp.issparse(W) else np.asarray(W)).dtype
        if not (jnp.issubdtype(kind, jnp.floating) or kind.kind in "biu"):  # a text, or complex
            raise TypeError(f"numbers of dtype {kind} are not real")
        W: Any = sp.csr_array(W, dtype=float) if sp.issparse(W) else np.asarray(W, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a weight matrix is a real (n, n) array or SciPy sparse matrix; got {given}") from error
    if W.ndim != 2 or W.shape[0] != W.shape[1] or W.shape[0] == 0:
        raise ValueError(f"a weight matrix is square, (n, n) with n >= 1; got shape {W.shape}")
    entries = W.data if sp.issparse(W) else W
    if wrong := int(np.sum(~np.isfinite(entries))):
        raise ValueError(f"a weight matrix has finite entries; {wrong} of these are NaN or infinite")
    checks.holds("the weight matrix", entries, jnp.result_type(float))
    return W
