"""A client that goes while it is answered is none of the log's business; everything else of grpcio is."""

import logging

import pytest
from grpc._cython import cygrpc

from tis_frontend.grpc.departed import keep_departed_out_of_log


@pytest.mark.parametrize(("error", "kept"), [(cygrpc.ExecuteBatchError("gone"), False), (ValueError("other"), True)])
def test_only_the_departure_of_a_client_is_kept_out_of_grpcios_log(
    error: Exception, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_departed_out_of_log()
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", seen.append)
    logger = logging.getLogger(cygrpc.__name__)
    logger.addHandler(handler)
    try:
        try:
            raise error
        except Exception:
            logger.exception("raised in core by servicer method")
    finally:
        logger.removeHandler(handler)
    assert bool(seen) == kept
