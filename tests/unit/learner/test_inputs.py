"""Every kind of input is learned, and served as it was learned."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.feature_spec import FeatureBlock, FeatureSpec, Side
from martlet.normalising import signed_log
from tests.unit.learner.rich import RICH, RICH_LINEAR
from tests.unit.learner.samples import LABEL, NOW_US, learned, requests
from trainer_svc.batch import Batch
from trainer_svc.dense_inputs import dense_inputs
from trainer_svc.export import parity
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch, made_up_block


def filled(spec: FeatureSpec, count: int, users: int, scale: float) -> FeatureBlock:
    """Numbers of any size and sign."""
    random = np.random.default_rng(count)
    block = made_up_block(spec, random, count, users)
    for numbers in (block.user_numbers, block.item_numbers):
        numbers[:] *= random.choice([-scale, scale], numbers.shape).astype(np.float32)
    return block


@pytest.mark.parametrize("model", [RICH, RICH_LINEAR], ids=["deep", "linear"])
def test_the_graph_gives_the_learners_numbers(model: ml.Model) -> None:
    learner, exporter = learned(model), Exporter(model)
    blocks = [filled(model.spec, n, users, scale) for n, users, scale in ((1, 1, 1.0), (33, 5, 1e-4), (70, 70, 1.0))]
    scorer = parity.OnnxScorer(exporter.graph(learner), exporter.arrays(learner))
    found = parity.check(learner, scorer, blocks)
    assert found.holds, found


def test_the_linear_loops_give_torchs_numbers() -> None:
    learner = learned(RICH_LINEAR)
    block = filled(RICH_LINEAR.spec, 40, 7, 3.0)
    lookups, read = learner._rows.lookups, learner._rows.read(block)
    with torch.no_grad():
        fed = dense_inputs(RICH_LINEAR.spec, lookups, block, [one.gathered for one in read])
        expected = learner.dense(*fed).numpy()
    np.testing.assert_allclose(learner.predict(block), expected, rtol=1e-5, atol=1e-5)


def test_running_columns_are_distances_of_what_was_learned() -> None:
    """Moments by NumPy over all that was learned: of a vector each component, of a logarithm the logarithm."""
    learner = Learner(RICH, 256)
    random = np.random.default_rng(0)
    batches = [made_up_batch(RICH.spec, random, 16) for _ in range(6)]
    for batch in batches:
        learner.learn(batch, NOW_US)
    seen = {name: np.concatenate([column(RICH.spec, b.block, name) for b in batches]) for name in ("mood", "views")}
    seen["views"] = signed_log(seen["views"])
    names = learner.dense.numbers.running
    ends = np.cumsum([3 if name == "mood" else 1 for name in names])
    mean = dict(zip(names, np.split(learner.dense.numbers.mean.numpy(), ends[:-1]), strict=True))
    scale = dict(zip(names, np.split(learner.dense.numbers.scale.numpy(), ends[:-1]), strict=True))
    for name, values in seen.items():
        np.testing.assert_allclose(mean[name], np.nanmean(values, 0), rtol=1e-5)
        np.testing.assert_allclose(scale[name], 1 / np.nanstd(values, 0), rtol=1e-5)


def column(spec: FeatureSpec, block: FeatureBlock, name: str) -> npt.NDArray[np.float32]:
    feature = next(feature for feature in spec.features if feature.name == name)
    first = spec.layout.first_column[name]
    numbers = block.item_numbers if feature.side is Side.ITEM else block.user_numbers[block.row_of_user]
    return numbers[:, first : first + feature.max_len]


def test_a_vector_and_a_text_teach() -> None:
    """What only they tell apart is told apart."""
    inputs: dict[str, ml.Input] = {"title": ml.Text("item.title"), "image": ml.Vector("item.image", 2)}
    model = ml.model_of("m", ml.DeepFM, inputs=inputs, label=LABEL, dim=4, hidden=(8,), dense=ml.Adam(0.02))
    learner = Learner(model, 64)
    kinds = [("red wine", [1.0, 0.0], 1.0), ("red car", [1.0, 0.0], 0.0), ("lamp", [0.0, 1.0], 1.0)]
    block = requests(model.spec, [{"item.title": title, "item.image": image} for title, image, _ in kinds])
    labels = np.array([label for _, _, label in kinds], np.float32)
    for _ in range(200):
        learner.learn(Batch(block, labels, np.ones(3, np.float32)), 1)
    assert ((learner.predict(block) > 0) == (labels > 0)).all()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: ml.Vector("v", 0), "width of 'v'"),
        (lambda: ml.Vector("v", 2, normalise="log1p"), "normalise of 'v'"),
        (lambda: ml.Text("t", longest=9), "longest of 't'"),
        (lambda: ml.Text("t", pool=""), "pool of 't'"),
        (lambda: ml.Text("t", max_len=0), "max_len of 't'"),
        (lambda: ml.Buckets("b", (3, 1)), "bounds of 'b'"),
        (lambda: ml.Buckets("b", ()), "bounds of 'b'"),
        (lambda: ml.Number("n", normalise="log"), "normalise of 'n'"),
    ],
)
def test_a_bad_input_names_its_source(make: object, complaint: str) -> None:
    assert callable(make)
    with pytest.raises(InvalidInput, match=complaint):
        make()
