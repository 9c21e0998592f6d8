"""All kinds of labels."""

from martlet.learn.labels.binary import Binary
from martlet.learn.labels.multi_class import MultiClass
from martlet.learn.labels.multi_task import MultiTask
from martlet.learn.labels.regression import Regression

Label = Binary | Regression | MultiClass | MultiTask
