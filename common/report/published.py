"""Published accuracies of the tutorial's network."""

# The accuracies that builds of the tutorial's web page printed from 2019 to 2025, with different
# seeds and versions: mean and standard deviation of 24 builds, and of 21 builds for each class.
# https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
TUTORIAL_PAGES = (0.544, 0.0126)
CLASSES_OF_PAGES = {
    "plane": (0.588, 0.094),
    "car": (0.674, 0.077),
    "bird": (0.407, 0.082),
    "cat": (0.307, 0.081),
    "deer": (0.438, 0.078),
    "dog": (0.461, 0.091),
    "frog": (0.694, 0.089),
    "horse": (0.607, 0.077),
    "ship": (0.658, 0.129),
    "truck": (0.606, 0.111),
}
