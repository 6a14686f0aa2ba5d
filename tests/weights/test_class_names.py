import pytest

from senet_jax.weights import imagenet
from senet_jax.weights.class_names import distinct, matched, numbers_of_imagenet


@pytest.mark.parametrize("names", [imagenet.class_names(), imagenet.wordnet_numbers()], ids=["names", "numbers"])
def test_the_classes_of_a_network_have_their_numbers_among_those_of_imagenet(names):
    """Weights of others have the names of WordNet, runs its numbers."""
    assert numbers_of_imagenet(names).tolist() == list(range(1000))
    assert numbers_of_imagenet(("unicorn", *imagenet.wordnet_numbers())).tolist() == [-1, *range(1000)]
    with pytest.raises(ValueError, match="1000 of the dataset's 1000 classes are not the network's"):
        numbers_of_imagenet(("unicorn",))


def test_a_name_of_several_classes_stands_for_none_of_them():
    names = imagenet.class_names()
    twice = (
        "the network has 2 classes 'crane', numbers 134 and 517; name it by its WordNet number, n02012849 or n03126707"
    )
    with pytest.raises(ValueError, match=twice):
        matched(names, ("crane",))
    assert matched(names, ("n02012849", "n03126707", "goldfish, Carassius auratus")).tolist() == [134, 517, 1]
    with pytest.raises(ValueError, match=r"has 2 classes 'a', numbers 0 and 2$"):
        matched(("a", "b", "a"), ("a",))
    assert distinct(("a", "b", "a")) == ["a (class 0)", "b", "a (class 2)"]
