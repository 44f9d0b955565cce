"""Forests of trees: XGBoost's probabilities of three classes, as JSON."""

from pathlib import Path

import numpy as np

from tests.frameworks.subject import Arrays, Subject, Tensor

FEATURES = 6
CLASSES = 3


def training(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of features, and a class for each."""
    features = np.random.default_rng(seed).standard_normal((200, FEATURES)).astype(np.float32)
    return features, np.digitize(features[:, 0] + features[:, 1], [-0.5, 0.5])


def _make(path: Path, seed: int) -> None:
    import xgboost

    features, classes = training(seed)
    parameters = {"objective": "multi:softprob", "num_class": CLASSES, "max_depth": 3}
    xgboost.train(parameters, xgboost.DMatrix(features, classes), 5).save_model(path)


def _answer(path: Path, inputs: Arrays) -> Arrays:
    import xgboost

    return {"output__0": xgboost.Booster(model_file=path).predict(xgboost.DMatrix(inputs["input__0"]))}


SUBJECT = Subject(
    backend="fil",
    module="treelite",
    extra="fil",
    filename="xgboost.json",
    inputs=(Tensor("input__0", "FP32", (FEATURES,)),),
    outputs=(Tensor("output__0", "FP32", (CLASSES,)),),
    make=_make,
    answer=_answer,
    config='parameters { key: "predict_proba" value { string_value: "true" } }\n',
    mistyped="configuration expects datatype TYPE_INT64 for input 'input__0', model provides TYPE_FP32",
    spoilt="unable to load model 'spoilt' as xgboost_json: .*not be parsed",
    also=("xgboost",),
)
