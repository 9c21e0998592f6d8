"""Who is let in under overload."""

from martlet.runtime.door import Door, Usual


def usual_of(seconds: float) -> Usual:
    usual = Usual()
    for _ in range(200):
        usual.add(seconds)
    return usual


def test_a_call_is_let_in_if_it_can_be_finished_in_time() -> None:
    door, usual = Door(most=10), usual_of(0.1)
    assert door.fits(0.2, usual)
    assert door.fits(None, usual)
    assert not door.fits(0.05, usual)
    assert not door.fits(0.0, usual)


def test_nobody_is_let_in_when_too_many_are_inside() -> None:
    door, usual = Door(most=2), Usual()
    door.inside = 2
    assert not door.fits(None, usual)
    door.inside = 1
    assert door.fits(None, usual)


def test_an_old_truth_does_not_refuse_for_ever() -> None:
    door, usual = Door(most=10), usual_of(5.0)
    refused = 0
    while not door.fits(0.25, usual):
        refused += 1
        assert refused < 100
    assert refused > 10


def test_what_spreads_much_is_given_more_time() -> None:
    steady, spread = usual_of(0.1), Usual()
    for i in range(200):
        spread.add(0.2 * (i % 2))
    assert spread.bound > 2 * steady.bound
