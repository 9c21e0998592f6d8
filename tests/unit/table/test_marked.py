"""Where a sparse array is not zero."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from trainer_svc.delta_tracker import marked


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: np_st.arrays(dtype, st.integers(0, 70), elements=st.sampled_from([0, 0, 0, 0, 1, 4, 255]))
    ),
    st.sampled_from([1, 3, 4, 255]),
)
def test_it_finds_what_flatnonzero_finds(array: npt.NDArray[np.uint8], bits: int) -> None:
    assert marked(array, bits).tolist() == np.flatnonzero(array & array.dtype.type(bits)).tolist()
