"""Samplers that draw by other labels than the training list's."""

from __future__ import annotations

from ccafl_plugin.data.samplers import READS_IDENTITIES
from tests.data.test_samplers import build, draw_epoch, every_sampler, proxies_in_order
from tests.data.train_lists import small_list


@every_sampler
def test_other_labels_are_drawn_by(name):
    """A camera's first proxy takes all images of its second but one; one image of each other is never drawn."""
    train = small_list((4, 4))
    sampler = build(name, train, proxies_per_batch=4, num_instances=2, iters=30)
    labels = sampler.labels
    proxies = labels.proxy_of_image.clone()
    second = labels.local_of_image == 1
    for camera in range(2):
        moved = (second & (labels.camera_of_image == camera)).nonzero()[1:, 0]
        proxies[moved] = labels.offsets[camera]
    left_out = {labels.images_of_proxy(proxy)[0] for proxy in range(labels.num_proxies) if proxy % 4 > 1}
    proxies[list(left_out)] = -1
    sampler.use(labels.relabelled(proxies))
    drawn = set()
    for batch in draw_epoch(sampler, 0):
        drawn.update(batch)
        if name not in READS_IDENTITIES:
            assert len(proxies_in_order(sampler, batch)) == 4
    assert drawn == set(range(len(train))) - left_out
