"""The images are what docs/images.md says of them."""

from tests.containers.images import Images
from tests.containers.podman import Podman


def test_the_images_are_there(podman: Podman, images: Images) -> None:
    for name in (images.serving, images.registry, images.trainer):
        assert podman.run("image", "inspect", "--format", "{{.User}}", name).strip() == "65532:65532"
