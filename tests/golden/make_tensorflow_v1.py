"""How `tensorflow_v1.onnx` was made: TensorFlow 2.21, tf2onnx 1.17, in an environment of their own.

`python tests/golden/make_tensorflow_v1.py` writes it again and prints what it says of two examples.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf2onnx

random = np.random.default_rng(0)
w1, w2 = (random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4, 1)))
SIGNATURE = [tf.TensorSpec([None, 3], tf.float32, name="x")]


@tf.function(input_signature=SIGNATURE)
def score(x: tf.Tensor) -> dict[str, tf.Tensor]:
    """A perceptron."""
    hidden = tf.nn.relu(tf.matmul(x, tf.constant(w1)))
    return {"probability": tf.sigmoid(tf.matmul(hidden, tf.constant(w2)))}


if __name__ == "__main__":
    model, _ = tf2onnx.convert.from_function(score, input_signature=SIGNATURE, opset=18)
    Path(__file__).with_name("tensorflow_v1.onnx").write_bytes(model.SerializeToString())
    print(score(tf.constant([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]]))["probability"].numpy().tolist())  # noqa: T201
