"""Networks as a configuration describes them."""

from speech2lip.model.builder import lattice_step


def test_lattice_follows_the_size_of_the_lip_image():
    """Chosen by width where the configuration leaves it open."""
    assert [lattice_step(0, width) for width in (72, 96, 104, 144)] == [4, 4, 8, 8]
    assert lattice_step(2, 144) == 2
