"""Federated averaging of a linear classifier of scikit-learn's handwritten digits.

Ninety-odd per cent of 360 test images in 30 rounds of 100 devices with 14 images each. How updates
are added is the caller's: `train` is given a function from clipped-to-be updates to their sum.
"""

import numpy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DEVICES, ROUNDS, CLIP = 100, 30, 1.0
EPOCHS, BATCH, RATE = 5, 7, 0.5
FEATURES, CLASSES = 64, 10
COORDINATES = FEATURES * CLASSES + CLASSES


def data(seed):
    """Each device's images and labels, and those that the model is tested on."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(numpy.float32)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=seed, stratify=labels
    )
    each = len(train) // DEVICES
    order = numpy.random.default_rng(seed).permutation(len(train))[: DEVICES * each]
    order = order.reshape(DEVICES, each)
    return train[order], train_labels[order], test, test_labels


def scores(models, images):
    weights = models[:, : FEATURES * CLASSES].reshape(-1, FEATURES, CLASSES)
    return images @ weights + models[:, None, FEATURES * CLASSES :]


def gradients(models, images, labels):
    """Of the cross entropy, for one batch of each model."""
    found = scores(models, images)
    chances = numpy.exp(found - found.max(2, keepdims=True))
    chances /= chances.sum(2, keepdims=True)
    numpy.put_along_axis(
        chances, labels[:, :, None], numpy.take_along_axis(chances, labels[:, :, None], 2) - 1, 2
    )
    chances /= labels.shape[1]
    weights = (images.transpose(0, 2, 1) @ chances).reshape(len(models), -1)
    return numpy.concatenate([weights, chances.sum(1)], 1)


def updates(model, images, labels, random):
    """What each device would change of the model."""
    count, each = labels.shape
    models = numpy.repeat(model[None], count, 0)
    rows = numpy.arange(count)[:, None]
    for _ in range(EPOCHS):
        order = numpy.argsort(random.random((count, each)), 1)
        for first in range(0, each - BATCH + 1, BATCH):
            batch = order[:, first : first + BATCH]
            models = models - RATE * gradients(models, images[rows, batch], labels[rows, batch])
    return (models - model).astype(numpy.float32)


def train(seed, add, survivors=DEVICES):
    """Accuracy of the model that `add` leads to, if so many random devices come through."""
    images, labels, test, test_labels = data(seed)
    random = numpy.random.default_rng(100 + seed)
    model = numpy.zeros(COORDINATES, numpy.float32)
    for _ in range(ROUNDS):
        present = numpy.sort(random.permutation(DEVICES)[:survivors])
        sent = updates(model, images[present], labels[present], random)
        model = model + (add(sent) / survivors).astype(numpy.float32)
    return float((scores(model[None], test)[0].argmax(1) == test_labels).mean())


def clipped(sent):
    norms = numpy.linalg.norm(sent, axis=1, keepdims=True)
    return sent * numpy.minimum(1, CLIP / numpy.maximum(norms, 1e-12))


def central(z, seed):
    """The sum that somebody trusted would publish: exact, with Gaussian noise added once."""
    random = numpy.random.default_rng(1000 + seed)

    def add(sent):
        return clipped(sent).sum(0) + random.normal(0, z * CLIP, COORDINATES)

    return add
