"""The meaning of keys that are no argument of this package's classes: torchreid's own, and a few below ``ccafl``.

The meanings of all other keys are in docstrings, where the page of keys (:mod:`.reference`) finds them.
"""

from __future__ import annotations

SENTENCES: dict[str, str] = {
    "use_gpu": "train and test on the GPU if there is one",
    "model.name": (
        "name of the model: one of torchreid's image models, or `clip_rn50`, `clip_vit_b16`, `clip_tiny`, or "
        "`open_clip/` and a name of open_clip's"
    ),
    "model.pretrained": "start from pretrained weights: ImageNet's for torchreid's models, CLIP's for `clip_*`",
    "model.load_weights": "checkpoint whose weights are loaded before training or a test; its classifier may differ",
    "model.resume": (
        "run to resume: its folder or one of its checkpoints; with torchreid's losses, a file; `auto`: go on with the "
        "run in `data.save_dir`, or begin it"
    ),
    "data.type": "kind of data",
    "data.root": "folder of all datasets",
    "data.sources": "datasets to train on",
    "data.targets": "datasets to test on",
    "data.workers": "processes that read images",
    "data.split_id": "number of the split, for a dataset with several splits",
    "data.height": "height of the model's input images, in pixels",
    "data.width": "width of the model's input images, in pixels",
    "data.combineall": "train on train, query and gallery together",
    "data.transforms": "augmentation; `bicubic_resize` also resizes test images bicubically",
    "data.k_tfm": "number of views of every training image; 1 with `loss.name ccafl`",
    "data.norm_mean": "mean of each colour channel, which is subtracted; `open_clip/...` has its own if none is set",
    "data.norm_std": (
        "standard deviation of each colour channel, by which images are divided; `open_clip/...` has its own if none "
        "is set"
    ),
    "data.save_dir": "folder for all files of the run",
    "data.load_train_targets": "also load the targets' training images; the losses here do not use them",
    "market1501.use_500k_distractors": "add the 500k distractors to the gallery of market1501",
    "cuhk03.labeled_images": "use the labeled images of cuhk03 instead of the detected ones",
    "cuhk03.classic_split": "use the 20 classic splits of cuhk03, of which `data.split_id` selects one",
    "cuhk03.use_metric_cuhk03": "test with the single-gallery-shot protocol of cuhk03",
    "sampler.train_sampler": "sampler of training batches",
    "sampler.train_sampler_t": "sampler of the targets' batches, with `data.load_train_targets`",
    "sampler.num_instances": "K, number of images of a proxy (or person) in a batch",
    "sampler.num_cams": "number of cameras in a batch of torchreid's `RandomDomainSampler`",
    "sampler.num_datasets": "number of datasets in a batch of torchreid's `RandomDatasetSampler`",
    "video.seq_len": "number of images of a tracklet; not used here",
    "video.sample_method": "how images are sampled from a tracklet; not used here",
    "video.pooling_method": "how the features of a tracklet are combined; not used here",
    "train.optim": "optimizer",
    "train.lr": "learning rate, before schedule and warm-up",
    "train.weight_decay": "weight decay",
    "train.max_epoch": "number of epochs; with `loss.name ccafl`, of stage 2",
    "train.start_epoch": "first epoch, from 0; `model.resume` sets it",
    "train.batch_size": "number of images in a batch",
    "train.fixbase_epoch": "number of first epochs in which only `train.open_layers` are trained",
    "train.open_layers": "layers that are trained in the first `train.fixbase_epoch` epochs",
    "train.staged_lr": "train all layers except `train.new_layers` with `train.base_lr_mult` times the learning rate",
    "train.new_layers": "layers with the full learning rate, with `train.staged_lr`",
    "train.base_lr_mult": "factor of the other layers' learning rate, with `train.staged_lr`",
    "train.lr_scheduler": "schedule of the learning rate",
    "train.stepsize": (
        "epochs at which the learning rate decreases; for `single_step` one number, the epochs between two decreases; "
        "cosine schedules do not read it"
    ),
    "train.gamma": "factor of each decrease",
    "train.print_freq": "number of batches between two lines of the log",
    "train.seed": "seed of all random draws",
    "sgd.momentum": "momentum of `sgd` and `rmsprop`",
    "sgd.dampening": "dampening of `sgd`",
    "sgd.nesterov": "Nesterov's momentum for `sgd`",
    "rmsprop.alpha": "smoothing constant of `rmsprop`",
    "adam.beta1": "decay of Adam's first moment; also of `amsgrad` and `radam`",
    "adam.beta2": "decay of Adam's second moment; also of `amsgrad` and `radam`",
    "loss.name": "`ccafl` trains with the terms below `ccafl.terms`; the others are torchreid's own engines",
    "loss.softmax.label_smooth": "label smoothing of torchreid's cross-entropy, with `loss.name softmax` or `triplet`",
    "loss.triplet.margin": "margin of torchreid's triplet loss, with `loss.name triplet`",
    "loss.triplet.weight_t": "weight of the triplet loss, with `loss.name triplet`",
    "loss.triplet.weight_x": "weight of the cross-entropy, with `loss.name triplet`",
    "test.batch_size": "number of images in a test batch",
    "test.dist_metric": "distance between features",
    "test.normalize_feature": "normalise features before the distance; those of `clip_*` are always unit vectors",
    "test.ranks": "ranks of the CMC curve to print",
    "test.evaluate": "only test, without training",
    "test.eval_freq": "number of epochs between two tests during training; -1: test only after the last epoch",
    "test.start_eval": "epoch from which on `test.eval_freq` is used",
    "test.rerank": "k-reciprocal re-ranking, in tests of a training run, too",
    "test.visrank": "save pictures of the ranked lists, with `test.evaluate True`",
    "test.visrank_topk": "number of gallery images in such a picture",
    "ccafl.published_settings": (
        "configuration with whose published settings the run is compared; a file with the key `published` sets it to "
        "itself; empty: none"
    ),
    "ccafl.matmul_precision": (
        "precision of float32 matrix products and convolutions on a GPU, see torch.set_float32_matmul_precision; "
        "`highest` is float32 throughout, the others allow TF32"
    ),
    "ccafl.compile": "compile the image encoder of a `clip_*` model with torch.compile",
    "ccafl.branch_from": "checkpoint of another run from which this run starts; later settings may differ",
    "ccafl.data.fit": (
        "batch, length of an epoch and windows of the terms follow from the amount of data, as docs/own-cameras.md says"
    ),
    "ccafl.data.fitted_from": "set by the program: a name for the settings before `ccafl.data.fit` changed them",
    "ccafl.save_text_encoder": (
        "keep the text encoder of a `clip_*` model in the run's `weights.safetensors`, for searches by text"
    ),
    "ccafl.licence": "licence of the trained weights, in words, for the description in `weights.safetensors`",
    "ccafl.camera_probe": "after training, measure how well a linear probe predicts the camera from a test feature",
}
"""Key -> sentence, without a full stop."""
