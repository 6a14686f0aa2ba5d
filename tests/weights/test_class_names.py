import pytest

from senet_jax.weights import imagenet
from senet_jax.weights.class_names import numbers_of_imagenet


@pytest.mark.parametrize("names", [imagenet.class_names(), imagenet.wordnet_numbers()], ids=["names", "numbers"])
def test_the_classes_of_a_network_have_their_numbers_among_those_of_imagenet(names):
    """Weights of others have the names of WordNet, runs its numbers."""
    assert numbers_of_imagenet(names).tolist() == list(range(1000))
    assert numbers_of_imagenet(("unicorn", *imagenet.wordnet_numbers())).tolist() == [-1, *range(1000)]
    with pytest.raises(ValueError, match="1000 of the dataset's 1000 classes are not the network's"):
        numbers_of_imagenet(("unicorn",))
