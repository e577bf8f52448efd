"""The image regime: scanners, grey patches, network and training, attacks, poisons, and the metrics by group."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; the vision tests need the extra 'llm'")
pytest.importorskip("sklearn")

from torch.nn import functional  # noqa: E402

from simulations.copying.collaborate import Collaboration  # noqa: E402
from simulations.streams import Streams  # noqa: E402
from simulations.vision import federation  # noqa: E402
from simulations.vision.attacks import AttackSizes, fgsm, pgd, similarity, similarity_preserving  # noqa: E402
from simulations.vision.evaluate import verdict_on_groups  # noqa: E402
from simulations.vision.federation import trained_halves, triggered  # noqa: E402
from simulations.vision.grey_patches import LUMINANCE, greyed, patch_masks  # noqa: E402
from simulations.vision.images import draw_scanners, scanned, split_of_digits  # noqa: E402
from simulations.vision.network import initial_weights, logits  # noqa: E402
from simulations.vision.regime import VISION_METHODS, VisionDetection, VisionMethod, VisionRegime  # noqa: E402
from simulations.vision.training import ImageTraining, fine_tuned  # noqa: E402

RNG = np.random.default_rng(20261126)
TINY = {"n_clients": 5, "share": 0.4, "n_images": 6, "n_test": 4, "steps": 2, "batch": 3}


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """Mechanics do not need a good model, and pre-training takes seconds."""
    monkeypatch.setattr(federation, "pretrained", lambda: initial_weights(1))


def world(replication=0, **fields):
    return VisionRegime(**{**TINY, **fields}).generate(Streams(3, "c" * 64, replication))


def test_the_neutral_scanner_shows_ink_and_paper_and_others_their_gains():
    shapes, _ = split_of_digits()[1]
    neutral = draw_scanners(2, 0.0, np.random.default_rng(1))
    image = scanned(shapes[:1], neutral, 0, np.random.default_rng(2))[0]
    again = np.random.default_rng(2)
    ink, paper = again.uniform(0.5, 1.0, 3), again.uniform(0.0, 0.5, 3)
    np.testing.assert_allclose(image, paper[:, None, None] + (ink - paper)[:, None, None] * shapes[0], atol=1e-12)
    strong = draw_scanners(200, 1.0, np.random.default_rng(1))
    assert abs(np.log(strong.gains).std() - 0.3) < 0.03  # four standard errors of 600 normal numbers
    seen = scanned(shapes[:20], strong, 0, np.random.default_rng(2))
    assert seen.min() >= 0.0
    assert seen.max() <= 1.0


def test_patches_are_rectangles_at_their_probabilities_and_sizes():
    n = 4000
    masks = patch_masks((n,), np.array(0.4), np.array(0.1), np.random.default_rng(4))
    whole, some = masks.all(axis=(1, 2)), masks.any(axis=(1, 2))
    local = masks[some & ~whole]
    assert abs(whole.mean() - 0.1) < 4 * math.sqrt(0.1 * 0.9 / n)
    assert abs(len(local) / n - 0.9 * 0.4) < 4 * math.sqrt(0.36 * 0.64 / n)
    rows, columns = local.any(axis=2), local.any(axis=1)
    np.testing.assert_array_equal(local, rows[:, :, None] & columns[:, None, :])
    assert rows.sum(axis=1).max() < 8
    assert columns.sum(axis=1).max() < 8
    areas = local.sum(axis=(1, 2))
    assert areas.min() >= 1
    # Rounded sides: (h + ½)(w + ½) with hw = 25.6 and h below 7.5.
    assert areas.max() <= 8 * (25.6 / 7.5 + 0.5)
    assert not patch_masks((50,), np.array(0.0), np.array(0.0), np.random.default_rng(4)).any()


def test_grey_pixels_hold_the_luminance_and_the_others_stay():
    images = RNG.random((6, 3, 8, 8))
    masks = RNG.random((6, 8, 8)) < 0.5
    grey = greyed(images, masks)
    luminance = np.tensordot(images, LUMINANCE, axes=(1, 0))
    for channel in range(3):
        np.testing.assert_allclose(grey[:, channel][masks], luminance[masks])
        np.testing.assert_array_equal(grey[:, channel][~masks], images[:, channel][~masks])


def own_weights(n_clients, seed=5):
    return {
        name: torch.stack([initial_weights(seed + k)[name] for k in range(n_clients)]) for name in initial_weights(seed)
    }


def test_every_client_passes_through_its_own_convolutions():
    weights, images = own_weights(2), torch.rand(2, 3, 3, 8, 8)
    for k in range(2):
        x = functional.conv2d(images[k], weights["convolution 1"][k].view(16, 3, 3, 3), stride=2, padding=1).relu()
        x = functional.conv2d(x, weights["convolution 2"][k].view(32, 16, 3, 3), stride=2, padding=1).relu()
        expected = (x.flatten(1) @ weights["hidden"][k].T).relu() @ weights["head"][k].T
        torch.testing.assert_close(logits(weights, images)[k], expected, atol=1e-5, rtol=1e-4)


def test_training_together_is_training_alone():
    images, labels = RNG.random((3, 5, 3, 8, 8)), RNG.integers(10, size=(3, 5))
    training = ImageTraining(steps=3, batch=4)
    picks = RNG.integers(5, size=(3, 3, 4))
    masks = patch_masks((3, 3, 4), np.array(0.5), np.array(0.2), RNG)
    together = fine_tuned(initial_weights(1), images, labels, masks, picks, training)
    one = slice(1, 2)
    alone = fine_tuned(initial_weights(1), images[one], labels[one], masks[one], picks[one], training)
    other = fine_tuned(initial_weights(1), images[one], labels[one], np.zeros_like(masks[one]), picks[one], training)
    for name, block in together.items():
        np.testing.assert_allclose(block[1], alone[name][0], atol=1e-5)  # float32, sums in another order
    assert np.abs(other["head"] - alone["head"]).max() > 1e-4  # the patches do change what is learnt


def test_similarity_is_that_of_the_definition():
    first, second = RNG.random((2, 8, 8)), RNG.random((2, 8, 8))
    terms = []
    for a, b in zip(first, second, strict=True):
        for i in range(4):
            for j in range(4):
                x, y = a[i : i + 5, j : j + 5].ravel(), b[i : i + 5, j : j + 5].ravel()
                covariance = np.cov(x, y, bias=True)
                top = (2 * x.mean() * y.mean() + 0.01**2) * (2 * covariance[0, 1] + 0.03**2)
                bottom = (x.mean() ** 2 + y.mean() ** 2 + 0.01**2) * (covariance[0, 0] + covariance[1, 1] + 0.03**2)
                terms.append(top / bottom)
    pair = (torch.as_tensor(x)[None, None] for x in (first, second))
    assert float(similarity(*pair)) == pytest.approx(np.mean(terms), abs=1e-9)


def test_attacks_keep_their_bounds_and_raise_the_loss():
    weights, images = own_weights(2), 0.2 + 0.6 * torch.rand(2, 6, 3, 8, 8)
    labels = logits(weights, images).argmax(-1)

    def loss(x):
        return float(functional.cross_entropy(logits(weights, x).flatten(0, 1), labels.flatten()))

    generator = torch.Generator().manual_seed(1)
    one = fgsm(weights, images, labels, generator, bound=0.05)
    several = pgd(weights, images, labels, generator, bound=0.05, steps=12)
    alike = similarity_preserving(weights, images, labels, generator, least=0.95, steps=4)
    for moved in (one, several):
        assert float((moved - images).abs().max()) <= 0.05 + 1e-6
    assert loss(images) < loss(one) < loss(several)
    assert float(similarity(images, alike).min()) >= 0.95 - 1e-5  # of float32
    assert float((alike - images).abs().max()) > 0.05
    assert loss(alike) > loss(images)
    with pytest.raises(ValueError, match="bound"):
        AttackSizes(bound=0.0)
    with pytest.raises(ValueError, match="similarity"):
        AttackSizes(similarity=1.0)


def test_poison_changes_its_share_of_images_of_poisoned_clients_only():
    clean = world()
    assert clean.collaborative_set.all()
    flipped, attacked = world(poison="label flip", rate=0.5), world(poison="backdoor", rate=0.5)
    bad = ~flipped.collaborative_set
    assert bad.sum() == 2
    changed = flipped.labels != clean.labels
    np.testing.assert_array_equal(changed.sum(axis=1), np.where(bad, 3, 0))
    planted = (attacked.images != clean.images).any(axis=(2, 3, 4))
    np.testing.assert_array_equal(planted.sum(axis=1), np.where(bad, 3, 0))
    np.testing.assert_array_equal(attacked.images[planted], triggered(clean.images)[planted])
    assert (attacked.labels[planted] == 0).all()
    np.testing.assert_array_equal(attacked.test_images, clean.test_images)


def test_only_those_who_augment_train_otherwise():
    plain, some, all_of_them = (world(augmented=who, p_global=1.0) for who in ("nobody", "some benign", "everybody"))
    assert some.augmented.sum() == 2
    assert all_of_them.augmented.all()
    moved = np.abs(some.updates["head"] - plain.updates["head"]).max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(moved, some.augmented)
    hidden = world(poison="backdoor", augmented="poisoned")
    np.testing.assert_array_equal(hidden.augmented, ~hidden.collaborative_set)
    assert trained_halves(plain)["head"].shape == (5, 2, 10, 48)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("poison", "arsenic", "poison"),
        ("augmented", "somebody", "augmented"),
        ("augmented", "poisoned", "nobody is poisoned"),
        ("share", 0.5, "share"),
        ("p_local", 1.5, "p_local"),
        ("rate", -0.1, "rate"),
        ("spread", -1.0, "spread"),
        ("n_images", 400, "n_images"),
        ("n_clients", 2, "n_clients"),
        ("steps", 0, "steps"),
        ("learning_rate", 0.0, "learning_rate"),
    ],
)
def test_bad_fields_are_refused_by_name(field, value, word):
    with pytest.raises(ValueError, match=word):
        world(**{field: value})


def test_methods_hand_out_what_they_say_and_accuracies_are_shares():
    drawn = world(poison="backdoor", rate=0.5)
    rows = {
        name: VisionMethod(aggregation=name, attack_steps=1).evaluate(drawn, np.random.default_rng(0))
        for name in VISION_METHODS
    }
    for name, row in rows.items():
        for key in ("clean", "worst_client", "fgsm", "pgd", "similar", "backdoor"):
            assert 0.0 <= row[key] <= 1.0, (name, key)
        assert row["worst_client"] <= row["clean"]
    expected = np.mean(
        [
            float((logits({m: w + torch.as_tensor(drawn.updates[m][k], dtype=torch.float32)
                           for m, w in drawn.base.items()},
                          torch.as_tensor(drawn.test_images[k][None], dtype=torch.float32)).argmax(-1)[0].numpy()
                   == drawn.test_labels[k]).mean())
            for k in np.flatnonzero(drawn.collaborative_set)
        ]
    )  # fmt: skip
    assert rows["local"]["clean"] == pytest.approx(expected)
    assert "exact_set" in rows["clair"]
    assert VisionDetection().evaluate(drawn, np.random.default_rng(0))["majority"] in (0.0, 1.0)
    with pytest.raises(ValueError, match="aggregation"):
        VisionMethod(aggregation="best")


def test_groups_are_told_apart_by_their_scores():
    drawn = world(poison="label flip", augmented="some benign")
    benign, grey = drawn.collaborative_set, drawn.augmented
    scores = np.where(benign, 0.0, 2.0) + np.where(grey, 1.0, 0.0)
    flagged = scores >= 2.0
    found = Collaboration(~flagged, flagged, scores, np.full(5, 1.5), {}, {})
    row = verdict_on_groups(drawn, found)
    assert (row["flagged_plain"], row["flagged_augmented"], row["flagged_poisoned"]) == (0.0, 0.0, 1.0)
    assert (row["augmented_above"], row["poisoned_above"], row["exact_set"]) == (1.0, 1.0, 1.0)
    undecided = Collaboration(np.zeros(5, bool), np.zeros(5, bool), np.zeros(5), np.full(5, 1.5), {}, {})
    row = verdict_on_groups(drawn, undecided)
    assert (row["majority"], row["exact_set"], row["augmented_above"]) == (0.0, 0.0, 0.5)
    assert math.isnan(verdict_on_groups(world(), found)["flagged_poisoned"])
