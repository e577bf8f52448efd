"""An image model fine-tuned by clients whose scanners differ: grey patches as augmentation, poisoned clients, attacks.

The images are the digits of scikit-learn in colours of our making, see :mod:`simulations.vision.images`.  One small
convolutional network is trained beforehand; every client trains all of its weight matrices on its own images, and the
changes of the four matrices are what CLAIR judges, jointly.
"""
