"""What a trained model is used for: features of images, their files, search."""
