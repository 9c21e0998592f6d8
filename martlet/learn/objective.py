"""What a model learns: its label (see `martlet.learn.labels`)."""

from martlet.learn.labels import Binary, Label, MultiClass, MultiTask, Regression

__all__ = ["Binary", "Label", "MultiClass", "MultiTask", "Regression"]
