"""Trains forests with three libraries and writes their files and answers: `python -m tests.frameworks.forests FOLDER`."""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import treelite
import xgboost
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from tests.frameworks.subjects.fil import FEATURES, training

ROWS = 16


def _xgboost(folder: Path, name: str, objective: str, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    features, _ = training(0)
    booster = xgboost.train({"objective": objective, "max_depth": 4}, xgboost.DMatrix(features, labels), 6)
    for ending in ("json", "ubj"):
        booster.save_model(folder / f"{name}.{ending}")
    answer: np.ndarray = booster.predict(xgboost.DMatrix(asked))
    return answer


def _lightgbm(folder: Path, name: str, told: dict[str, object], labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    features, _ = training(0)
    told = {**told, "verbose": -1, "num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1}
    booster = lightgbm.train(told, lightgbm.Dataset(features, labels), 6)
    booster.save_model(folder / f"{name}.txt")
    return np.asarray(booster.predict(asked))


def main(folder: Path) -> None:
    """Train all, and answer the same rows with each."""
    features, classes = training(0)
    asked = np.random.default_rng(9).standard_normal((ROWS, FEATURES)).astype(np.float32)
    forest = RandomForestClassifier(6, max_depth=4, random_state=0).fit(features, classes)
    treelite.sklearn.import_model(forest).serialize(folder / "forest.tl")
    boosted = GradientBoostingClassifier(n_estimators=6, random_state=0).fit(features, classes > 1)
    treelite.sklearn.import_model(boosted).serialize(folder / "boosted.tl")
    answers = {
        "features": asked,
        "two": _xgboost(folder, "two", "binary:logistic", classes > 1, asked),
        "number": _xgboost(folder, "number", "reg:squarederror", features[:, 0] * features[:, 1], asked),
        "number_lightgbm": _lightgbm(folder, "number_lightgbm", {"objective": "regression"}, features[:, 0], asked),
        "three_lightgbm": _lightgbm(
            folder, "three_lightgbm", {"objective": "multiclass", "num_class": 3}, classes, asked
        ),
        "forest": forest.predict_proba(asked),
        "boosted": boosted.predict_proba(asked)[:, 1],
    }
    np.savez(folder / "answers.npz", **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
