"""What a model's warm-up counts, as Triton 2.51 counts it."""

from tis.contracts.messages import Duration, Warmup
from tis.scheduler.statistics import Statistics


def test_a_sample_counts_as_a_batch_of_single_requests_that_did_not_wait() -> None:
    statistics = Statistics("m", 1)
    for _ in range(2):
        statistics.warmed_up(Warmup(3, 100, 110, 130, 160))
    found = statistics.snapshot()
    assert (found.inference_count, found.execution_count) == (6, 2)
    assert (found.success, found.fail, found.queue) == (Duration(6, 360), Duration(0, 0), Duration(6, 0))
    assert (found.compute_input, found.compute_infer, found.compute_output) == (
        Duration(6, 60),
        Duration(6, 120),
        Duration(6, 180),
    )
    (batch,) = found.batches
    assert (batch.batch_size, batch.compute_input, batch.compute_output) == (3, Duration(2, 20), Duration(2, 60))
    assert found.last_inference_ms > 0
