"""The rasterizer against the definition of what it returns, pixel by pixel."""

import numpy as np
import pytest

from speech2lip.geometry.rasterizer_cpu import rasterize, visible

WIDTH, HEIGHT = 37, 29


def _by_definition(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth [H, W] (0: nothing), and how near the pixel is to an edge of any triangle, in barycentrics."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    best, doubt = np.full(x.shape, np.inf), np.full(x.shape, np.inf)
    for corners, z in zip(pixels[triangles], depth[triangles], strict=True):
        system = np.concatenate([corners.T, np.ones((1, 3))])
        if abs(np.linalg.det(system)) < 1e-9:
            continue
        weights = np.linalg.inv(system) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        inside = (weights >= 0).all(0)
        seen = np.where(inside, 1 / np.where(inside, weights.T @ (1 / z), 1), np.inf).reshape(x.shape)
        best, doubt = np.minimum(best, seen), np.minimum(doubt, np.abs(weights).min(0).reshape(x.shape))
    return np.where(np.isfinite(best), best, 0), doubt


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("thin", [1.0, 0.05])
def test_every_pixel_sees_the_nearest_triangle_over_its_centre(seed, thin):
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(-10, 48, (40, 2)) * [thin, 1] + [15 * (1 - thin), 0]
    depth, triangles = rng.uniform(1, 5, 40), rng.integers(0, 40, (30, 3))
    found = rasterize(pixels, depth, triangles, WIDTH, HEIGHT)
    expected, doubt = _by_definition(pixels, depth, triangles)
    sure = doubt > 1e-6
    assert sure.mean() > 0.9 and found.mask.any()
    np.testing.assert_allclose(found.depth[sure], expected[sure], rtol=1e-6)
    corners = np.concatenate([pixels, depth[:, None]], 1)[triangles[found.face]]
    at = np.einsum(
        "hwk,hwkc->hwc",
        found.barycentric / np.where(found.mask, found.depth, 1)[..., None],
        corners[..., :2] * corners[..., 2:],
    )
    np.testing.assert_allclose(at[found.mask], np.argwhere(found.mask)[:, ::-1], atol=1e-3)


def test_shared_edges_on_pixel_centres_leave_no_hole_and_the_first_of_equals_stays():
    lattice = np.stack(np.meshgrid(np.arange(0, WIDTH, 4.0), np.arange(0, HEIGHT, 4.0)), -1)
    rows, columns = lattice.shape[:2]
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    triangles = np.concatenate(
        [np.stack([a, a + 1, a + columns], 1), np.stack([a + 1, a + columns + 1, a + columns], 1)]
    )
    pixels, depth = lattice.reshape(-1, 2), np.full(rows * columns, 2.0)
    assert rasterize(pixels, depth, triangles, WIDTH, HEIGHT).mask.all()
    twice = rasterize(pixels, depth, np.concatenate([triangles, triangles]), WIDTH, HEIGHT)
    assert twice.face.max() < len(triangles)


def test_visible_lists_what_rasterize_paints():
    rng = np.random.default_rng(5)
    mesh = rng.uniform(0, 40, (20, 2)), rng.uniform(1, 5, 20), rng.integers(0, 20, (6, 3))
    seen, found = visible(*mesh, WIDTH, HEIGHT), rasterize(*mesh, WIDTH, HEIGHT)
    np.testing.assert_array_equal(seen.index, np.flatnonzero(found.mask))
    np.testing.assert_array_equal(seen.face, found.face[found.mask])
    np.testing.assert_allclose(seen.depth, found.depth[found.mask], rtol=1e-6)
