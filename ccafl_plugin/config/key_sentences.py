"""What the keys mean that are no argument of a class of this package: torchreid's own, and a few below ``ccafl``.

All other sentences stand in docstrings, where the page of keys (:mod:`.reference`) finds them.
"""

from __future__ import annotations

SENTENCES: dict[str, str] = {
    "use_gpu": "train and test on the GPU if there is one",
    "model.name": "name of the model: one of torchreid's image models, or `clip_rn50`, `clip_vit_b16`, `clip_tiny`",
    "model.pretrained": "start from pretrained weights: ImageNet's for torchreid's models, CLIP's for `clip_*`",
    "model.load_weights": "checkpoint whose weights are loaded before training or a test; its classifier need not fit",
    "model.resume": "run to go on with: its folder or one of its checkpoints; with torchreid's losses, a file",
    "data.type": "kind of data",
    "data.root": "folder of all datasets",
    "data.sources": "datasets to train on",
    "data.targets": "datasets to test on",
    "data.workers": "processes that read images",
    "data.split_id": "which split of a dataset that has several",
    "data.height": "height of an image for the model, in pixels",
    "data.width": "width of an image for the model, in pixels",
    "data.combineall": "train on train, query and gallery together",
    "data.transforms": "augmentation; `bicubic_resize` also resizes test images bicubically",
    "data.k_tfm": "views of every training image; 1 with `loss.name ccafl`",
    "data.norm_mean": "mean of each colour channel that is subtracted",
    "data.norm_std": "standard deviation of each colour channel that is divided by",
    "data.save_dir": "folder for everything that the run writes",
    "data.load_train_targets": "load the targets' training images too; not read by the losses here",
    "market1501.use_500k_distractors": "add the 500k distractors to the gallery of market1501",
    "cuhk03.labeled_images": "take the labeled images of cuhk03 instead of the detected ones",
    "cuhk03.classic_split": "take the classic split of cuhk03, of which `data.split_id` is one of 20",
    "cuhk03.use_metric_cuhk03": "test by the single-gallery-shot protocol of cuhk03",
    "sampler.train_sampler": "how batches are made",
    "sampler.train_sampler_t": "how batches of the targets are made, with `data.load_train_targets`",
    "sampler.num_instances": "K, images of a proxy (or person) in a batch",
    "sampler.num_cams": "cameras in a batch of torchreid's `RandomDomainSampler`",
    "sampler.num_datasets": "datasets in a batch of torchreid's `RandomDatasetSampler`",
    "video.seq_len": "images of a tracklet; not used, images only",
    "video.sample_method": "how images are taken from a tracklet; not used, images only",
    "video.pooling_method": "how a tracklet's features are put together; not used, images only",
    "train.optim": "optimizer",
    "train.lr": "learning rate, before schedule and warm-up",
    "train.weight_decay": "weight decay",
    "train.max_epoch": "epochs of training; with `loss.name ccafl`, of stage 2",
    "train.start_epoch": "epoch to start with, from 0; `model.resume` sets it",
    "train.batch_size": "images in a batch",
    "train.fixbase_epoch": "first epochs in which only `train.open_layers` are trained",
    "train.open_layers": "layers that are trained in the first `train.fixbase_epoch` epochs",
    "train.staged_lr": "train all layers but `train.new_layers` at `train.base_lr_mult` times the learning rate",
    "train.new_layers": "layers at the full learning rate, with `train.staged_lr`",
    "train.base_lr_mult": "factor of the other layers' learning rate, with `train.staged_lr`",
    "train.lr_scheduler": "schedule of the learning rate",
    "train.stepsize": (
        "epochs at which the learning rate falls; for `single_step`, one number, the epochs between two falls; no "
        "cosine schedule reads it"
    ),
    "train.gamma": "factor by which it falls",
    "train.print_freq": "batches between two lines of the log",
    "train.seed": "of everything random; another seed is another run",
    "sgd.momentum": "momentum of `sgd` and `rmsprop`",
    "sgd.dampening": "dampening of `sgd`",
    "sgd.nesterov": "Nesterov's momentum for `sgd`",
    "rmsprop.alpha": "smoothing constant of `rmsprop`",
    "adam.beta1": "decay of Adam's first moment; also of `amsgrad` and `radam`",
    "adam.beta2": "decay of Adam's second moment; also of `amsgrad` and `radam`",
    "loss.name": "`ccafl` trains by the terms below `ccafl.terms`; the others are torchreid's own engines",
    "loss.softmax.label_smooth": "label smoothing of torchreid's cross-entropy, with `loss.name softmax` or `triplet`",
    "loss.triplet.margin": "margin of torchreid's triplet loss, with `loss.name triplet`",
    "loss.triplet.weight_t": "weight of the triplet loss, with `loss.name triplet`",
    "loss.triplet.weight_x": "weight of the cross-entropy, with `loss.name triplet`",
    "test.batch_size": "images in a batch of the test",
    "test.dist_metric": "distance between features",
    "test.normalize_feature": "normalise features before the distance; those of `clip_*` are unit vectors anyway",
    "test.ranks": "ranks of the CMC curve that are printed",
    "test.evaluate": "test only",
    "test.eval_freq": "epochs between two tests during training; -1: after the last epoch only",
    "test.start_eval": "first epoch after which `test.eval_freq` counts",
    "test.rerank": "k-reciprocal re-ranking",
    "test.visrank": "save pictures of ranked lists, with `test.evaluate True`",
    "test.visrank_topk": "gallery images in such a picture",
    "ccafl.published_settings": (
        "configuration whose published settings the run is compared with; a file with the key `published` sets it to "
        "itself; empty: none"
    ),
    "ccafl.matmul_precision": "precision of float32 matrix products on a GPU, see torch.set_float32_matmul_precision",
    "ccafl.compile": "compile the image encoder of a `clip_*` model by torch.compile",
    "ccafl.branch_from": "checkpoint of another run to start from, whose later settings may differ",
    "ccafl.data.fit": (
        "batch, length of an epoch and windows of the terms follow from the amount of data, as docs/own-cameras.md says"
    ),
    "ccafl.data.fitted_from": "set by the program: a name for the settings before `ccafl.data.fit` changed them",
    "ccafl.camera_probe": "after training, measure how well a linear probe tells the camera from a test feature",
}
"""Key -> sentence, without a full stop."""
