"""What a model learns: labels, the outcomes they are made from, and what is done about those that come late."""

from martlet.learn.labels.binary import Binary
from martlet.learn.labels.delayed import ESDFM, FNC, FNW, DelayedFeedback, Wait
from martlet.learn.labels.importance import Importance, Insertion, importance_of
from martlet.learn.labels.kinds import Label
from martlet.learn.labels.multi_class import MultiClass
from martlet.learn.labels.multi_task import MultiTask
from martlet.learn.labels.outcomes import Dwell, Outcome
from martlet.learn.labels.plain import label_of, plain_label
from martlet.learn.labels.regression import Regression
from martlet.learn.labels.rule import LabelRule, Reading, TaskRule

__all__ = [
    "ESDFM",
    "FNC",
    "FNW",
    "Binary",
    "DelayedFeedback",
    "Dwell",
    "Importance",
    "Insertion",
    "Label",
    "LabelRule",
    "MultiClass",
    "MultiTask",
    "Outcome",
    "Reading",
    "Regression",
    "TaskRule",
    "Wait",
    "importance_of",
    "label_of",
    "plain_label",
]
