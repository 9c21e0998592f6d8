"""From the learner's state to plain ONNX, and the check that both give the same numbers."""
