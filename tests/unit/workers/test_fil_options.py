"""Parameters of forests of trees."""

import pytest

from tis.errors import Code, TisError
from tis_workers.backends.fil_options import fil_options


def test_what_is_not_said_is_left_to_the_model() -> None:
    options = fil_options("trees", {})
    assert (options.model_type, options.is_classifier, options.predict_proba) == ("", None, False)
    assert (options.threshold, options.threads, options.chunk_size, options.transfer_threshold) == (0.5, 0, 0, 0)


def test_the_old_and_the_new_name_of_a_parameter_mean_the_same_and_the_old_one_has_precedence() -> None:
    assert fil_options("trees", {"output_class": "true"}).is_classifier is True
    assert fil_options("trees", {"is_classifier": "False"}).is_classifier is False
    assert fil_options("trees", {"output_class": "false", "is_classifier": "true"}).is_classifier is False


def test_less_than_nothing_means_no_choice() -> None:
    assert fil_options("trees", {"cpu_nthread": "-1"}).threads == 0


def test_parameters_that_tuned_older_implementations_are_accepted() -> None:
    old = {"algo": "ALGO_AUTO", "storage_type": "SPARSE", "blocks_per_sm": "4", "threads_per_tree": "2"}
    assert fil_options("trees", old) == fil_options("trees", {})


@pytest.mark.parametrize(
    ("key", "value", "code", "words"),
    [
        ("model_type", "catboost", Code.UNSUPPORTED, "catboost not recognized as a valid serialization format"),
        ("threshold", "half", Code.INVALID_ARG, "parameter 'threshold' of model 'trees' must be a number; got 'half'"),
        (
            "predict_proba",
            "maybe",
            Code.INVALID_ARG,
            "parameter 'predict_proba' of model 'trees' must be true or false",
        ),
        ("layout", "wide", Code.INVALID_ARG, "parameter 'layout' of model 'trees' must be one of depth_first"),
        ("chunk_size", "x", Code.INVALID_ARG, "parameter 'chunk_size' of model 'trees' must be a whole number"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused(key: str, value: str, code: Code, words: str) -> None:
    with pytest.raises(TisError) as caught:
        fil_options("trees", {key: value})
    assert caught.value.code is code
    assert words in caught.value.message
