"""Models without a server: load one into this process as a worker would, ask it, look at what it answers.

For the tests of those who write models, with any backend that is installed:

    from tis.testing import load_model

    def test_it_adds():
        with load_model("models/add") as model:
            assert model.infer({"INPUT0": a, "INPUT1": b})["OUTPUT0"].tolist() == [[4]]

Config, completion, checks of requests and the backend are the server's own. What is not there is the scheduler: nothing
queues, and batches are what `batch` is given.
"""

from tis.testing.answers import ModelError, Outputs
from tis.testing.loading import load_model
from tis.testing.model import LoadedModel
from tis.testing.request import make_request

__all__ = ["LoadedModel", "ModelError", "Outputs", "load_model", "make_request"]
