"""Hard negatives: their numbers, their shapes, and that construction leaves no trace that tells a target."""

import numpy as np
import pytest
from scipy import ndimage

from synth.scene import SceneConfig
from synth.scene.frame import SceneRenderer
from synth.scene.impostors import poisson
from synth.scene.paint import add_bar, add_box, add_corner, add_stamp, cover_stamp, local_mean_sigma, turn_patch
from synth.scene.target_config import ImpostorRates
from synth.scene.truth import ImpostorKind

ONLY = ImpostorRates.none().model_dump()


def rendered(num: int, rates: dict[str, object], **values: object):
    config = SceneConfig(**({"frame_hw": (96, 96), "impostors": ONLY | rates} | values))
    renderer = SceneRenderer(config, 5)
    return [renderer.render(index) for index in range(num)]


def background(rates: dict[str, object], number: int = 0, **values: object) -> np.ndarray:
    """Noise-free frame without targets."""
    config = SceneConfig(**({"frame_hw": (96, 96), "impostors": ONLY | rates, "regimes": {"sky": 1.0}} | values))
    return SceneRenderer(config, 5).stage.scene(number).background_dn


def test_poisson_counts() -> None:
    rng = np.random.default_rng(0)
    for mean in (0.0, 0.3, 6.0, 50.0):
        counts = np.array([poisson(rng, mean) for _ in range(4000)])
        assert counts.mean() == pytest.approx(mean, abs=4.0 * np.sqrt(mean / 4000))
        if mean:
            # the variance of a variance estimate of a Poisson count is about (2 m^2 + m) / n
            assert counts.var() == pytest.approx(mean, abs=4.0 * np.sqrt((2.0 * mean * mean + mean) / 4000))


@pytest.mark.parametrize("kind", [kind for kind in ImpostorKind if kind is not ImpostorKind.GLINT])
def test_every_kind_comes_at_its_rate_and_is_recorded(kind: ImpostorKind) -> None:
    num, mean = 150, 0.9
    frames = rendered(num, {kind.name.lower(): mean}, targets={"empty_share": 0.0})
    counts = np.array([len(frame.truth.impostors) for frame in frames])
    # 4 sigmas of a Poisson mean; up to 5 % may find no place or fall outside
    assert counts.mean() == pytest.approx(0.975 * mean, abs=4.0 * np.sqrt(mean / num) + 0.025 * mean)
    for impostor in (impostor for frame in frames for impostor in frame.truth.impostors):
        assert impostor.kind is kind
        assert 0.0 <= impostor.row <= 95.0
        assert 0.0 <= impostor.col <= 95.0
        assert min(impostor.height, impostor.width) >= 1.0


def test_glints_only_on_water() -> None:
    dry = rendered(30, {"glint": 20.0}, regimes={"sky": 1.0, "urban": 1.0})
    assert not any(frame.truth.impostors for frame in dry)
    wet = rendered(30, {"glint": 20.0}, regimes={"sea": 1.0})
    counts = [len(frame.truth.impostors) for frame in wet]
    assert np.mean(counts) > 6.0
    for impostor in (impostor for frame in wet for impostor in frame.truth.impostors):
        assert impostor.width >= impostor.height  # along the waves
        assert impostor.width <= 4.0


def test_a_hot_pixel_has_no_spread() -> None:
    for number in range(12):
        difference = background({"hot_pixel": 1.0}, number) - background({}, number)
        labels, num = ndimage.label(np.abs(difference) > 1e-3)
        for label in range(1, num + 1):
            assert (labels == label).sum() in (1, 2)


def test_optical_impostors_are_blurred_and_long_ones_are_long() -> None:
    plane = np.zeros((80, 80), np.float32)
    add_bar(plane, 40.0, 40.0, 15.0, 1.0, 0.0, 2.0)
    assert plane.max() == pytest.approx(2.0)
    assert (plane[40] > 1.0).sum() == 31 + 2  # straight part and half a maximum at each end
    assert (plane[:, 40] > 1.0).sum() == 3
    turned = np.zeros_like(plane)
    add_bar(turned, 40.0, 40.0, 15.0, 1.0, 0.25, 2.0)
    np.testing.assert_allclose(turned, plane.T, atol=1e-5)
    blob = np.zeros_like(plane)
    add_bar(blob, 40.0, 40.0, 0.0, 5.0, 0.3, 1.0)
    assert blob.sum() == pytest.approx(2.0 * np.pi * 25.0, rel=0.01)


def test_a_corner_has_its_tip_where_it_is_recorded_and_fades() -> None:
    plane, flat = np.zeros((80, 80), np.float32), np.zeros((71, 71), np.float32)
    add_corner(plane, flat, 40.0, 40.0, 0.0, 0.06, 25.0, 1.0, 0.0, 1.0)
    assert plane[40, 45] > 0.7
    assert plane[40, 30] == 0.0  # opens to the right only
    assert (np.diff(plane[40, 45:66]) <= 0.0).all()
    assert plane[40, 66] == 0.0
    assert plane[30, 45] == 0.0  # 22 degrees to each side


def test_patches_keep_the_mean_and_turn() -> None:
    plane = np.random.default_rng(0).normal(0.0, 1.0, (30, 30)).astype(np.float32)
    before = plane.copy()
    turn_patch(plane, 15, 15, 8, 9, 4, 1)
    place, source = plane[11:20, 11:20], before[4:13, 5:14]
    assert place.mean() == pytest.approx(before[11:20, 11:20].mean(), abs=1e-5)
    np.testing.assert_allclose(place - place.mean(), np.rot90(source) - source.mean(), atol=1e-5)
    changed = np.zeros_like(plane, bool)
    changed[11:20, 11:20] = True
    np.testing.assert_array_equal(plane[~changed], before[~changed])


def test_strokes_end_at_the_border() -> None:
    plane, stamp = np.ones((10, 12), np.float32), np.ones((5, 5))
    add_stamp(plane, stamp, 0, 11, 2.0)
    assert plane.sum() == 120 + 2 * 9
    add_box(plane, -1, -1, 2, 2, 5.0)
    assert plane[0, 0] == 6.0
    cover_stamp(plane, stamp, 9, 0, 7.0)
    assert plane[9, 0] == 7.0
    mean, sigma = local_mean_sigma(np.arange(100, dtype=np.float32).reshape(10, 10), 5, 5, 20)
    assert (mean, sigma) == (pytest.approx(49.5), pytest.approx(np.arange(100).std()))


def test_a_twin_has_no_net_flux() -> None:
    num = 0
    for number in range(40):
        values = {"scr": {"low": 2.0, "high": 2.0}}
        difference = background({"removed_twin": 0.4}, number, **values) - background({}, number, **values)
        if np.abs(difference).max() == 0.0:
            continue
        num += 1
        assert abs(difference.sum()) < 1e-2 * np.abs(difference).sum()
    assert num > 6


# ---------------------------------------------------------------------------------------------------------------------
# paste artefacts (physics section 8)


def ring_features(patch: np.ndarray) -> np.ndarray:
    """The outer ring of a 7x7 patch, standardised: values, magnitudes, squares, and the log of its deviation."""
    outer = np.ones((7, 7), bool)
    outer[1:6, 1:6] = False
    ring = patch[outer] - patch[outer].mean()
    spread = ring.std() + 1e-9
    ring = ring / spread
    return np.concatenate([ring, np.abs(ring), ring * ring, [np.log(spread)]])


def fit_logistic(features: np.ndarray, labels: np.ndarray, ridge: float = 10.0) -> np.ndarray:
    design, weights = np.c_[features, np.ones(len(features))], np.zeros(features.shape[1] + 1)
    for _ in range(20):
        share = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30.0, 30.0)))
        slope = design.T @ (share - labels) + ridge * weights
        curve = (design * (share * (1.0 - share))[:, None]).T @ design + ridge * np.eye(weights.size)
        weights -= np.linalg.solve(curve, slope)
    return weights


def grouped_auc(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    scores = np.zeros(len(labels))
    for fold in range(5):
        held_out = groups % 5 == fold
        weights = fit_logistic(features[~held_out], labels[~held_out])
        scores[held_out] = np.c_[features[held_out], np.ones(held_out.sum())] @ weights
    ranks = np.argsort(np.argsort(scores)) + 1.0
    positive = labels == 1.0
    num = positive.sum()
    return float((ranks[positive].sum() - num * (num + 1) / 2.0) / (num * (len(labels) - num)))


def seam_patches(num_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """7x7 raw patches: targets on a seam (1) and seams alone (0), with the frame they come from."""
    one = {"empty_share": 0.0, "one_share": 1.0, "two_share": 0.0}
    point = {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}  # nothing of the target itself reaches the ring
    patches, labels, groups = [], [], []
    frames = rendered(
        num_frames, {"seam_patch": 1.0}, sensor="cooled_mwir_15um_f4", targets=one | {"levels": point},
        scr={"low": 1.0, "high": 8.0},
    )  # fmt: skip
    for index, frame in enumerate(frames):
        places = [(t.row_subpx, t.col_subpx, 1.0) for t in frame.truth.targets if t.is_on_seam]
        places += [(i.row, i.col, 0.0) for i in frame.truth.impostors]
        for row_subpx, col_subpx, label in places:
            row, col = int(np.floor(row_subpx + 0.5)), int(np.floor(col_subpx + 0.5))
            if 3 <= row < 93 and 3 <= col < 93:
                patches.append(frame.raw[row - 3 : row + 4, col - 3 : col + 4].astype(float))
                labels.append(label)
                groups.append(index)
    return np.array(patches), np.array(labels), np.array(groups)


def test_seams_do_not_tell_targets_from_seams_alone() -> None:
    """A classifier on the ring around the central 5x5 stays at AUC 0.5; its standard error here is 0.015."""
    patches, labels, groups = seam_patches(800)
    assert min((labels == 0).sum(), (labels == 1).sum()) > 700
    features = np.array([ring_features(patch) for patch in patches])
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    assert grouped_auc(features, labels, groups) < 0.55
    centre = patches[:, 3, 3] - patches.mean(axis=(1, 2))  # what is left out would tell
    assert grouped_auc(np.c_[centre, centre**2] / centre.std(), labels, groups) > 0.8


def test_as_many_targets_stand_on_seams_as_seams_stand_alone() -> None:
    frames = rendered(400, {"seam_patch": 0.4}, targets={"empty_share": 0.2})
    on_seams = sum(t.is_on_seam for f in frames for t in f.truth.targets if t.level.name != "GROUP")
    alone = sum(len(f.truth.impostors) for f in frames)
    # 160 of each; groups (5 %) and places not found take a few; 4 sigmas of the difference of two Poisson counts
    assert on_seams == pytest.approx(0.95 * alone, abs=4.0 * np.sqrt(2.0 * 160.0))
