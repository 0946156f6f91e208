"""What the report says: a title, a picture in words and a sentence on what to see, for each figure.

Names of files and of metrics are those that the stages write. What is not listed here is not shown
(pictures) or shown without a meaning (metrics).
"""

from typing import NamedTuple


class Text(NamedTuple):
    """What belongs to one picture.

    Attributes:
        title: above it.
        alt: the picture in words, for those who cannot see it.
        see: what to see in it.
    """

    title: str
    alt: str
    see: str


OVERVIEW = Text(
    "Images, reconstructions and drawn faces",
    "Rows of ten faces: images, their reconstructions, and faces from random z-points",
    "From top to bottom: what the model was shown, what it makes of it, and what it draws from "
    "random points alone. The more the lower rows look like the first, the better.",
)

SAMPLES = {
    "random_normal": Text(
        "Faces from N(0, I)",
        "Grid of faces decoded from random points of N(0, I)",
        "The KL loss is there to make these points land where the decoder knows what to draw: "
        "where it confined the z-points, these are faces; where it did not, they are not.",
    ),
    "random_chosen": Text(
        "Faces from the chosen sampler",
        "Grid of faces decoded from random points of the chosen sampler",
        "Drawn where the z-points of the training images lie, from the sampler named above. If "
        "they are better than those from N(0, I), the z-points are not where the KL loss wants "
        "them.",
    ),
    "reconstructions": Text(
        "Reconstructions of validation images",
        "Rows of validation images, each above its reconstruction",
        "Each image stands above its reconstruction: pose, colours and hair should come through; "
        "what is lost is what z has no room for.",
    ),
    "walks": Text(
        "Walks between z-points",
        "Rows of faces, each along a straight line between two random z-points",
        "Each row goes straight from one z-point to another. Faces should change step by step, and "
        "those in the middle should be faces too: then there are no holes in between.",
    ),
}

LOSSES = Text(
    "Losses by epoch",
    "Curves of the losses of training and validation over the epochs",
    "Both curves should fall and flatten together. Validation that rises while training falls "
    "means overfitting; curves still falling at the end mean that more epochs would help.",
)

KL = Text(
    "KL of each dimension, by epoch",
    "Curves of the KL loss of all dimensions in order of rank, for several epochs",
    "Dimensions on the left carry the image, those at 0 carry nothing: they are noise that the "
    "decoder ignores. A steep curve says that a few dimensions do the work.",
)

CONFINED = Text(
    "What confinement is for, on drawn faces (not of this run)",
    "Rows of faces of a confined and of a free model, from N(0, I) and from their own z-points",
    "Two models, both sampled from N(0, I) and from where their own z-points lie. Confined by the "
    "KL loss (Bernoulli loss, kl_weight 15), both places are one, and N(0, I) draws faces. Hardly "
    "confined (Gaussian loss with optimal sigma, kl_weight 1), N(0, I) misses the z-points, and "
    "only their own place gives faces, sharper ones.",
)

ZPOINTS = {
    "radius": Text(
        "Distance from the origin",
        "Histograms of the lengths of z and mu beside the chi distribution",
        "In many dimensions the points of N(0, I) lie in a thin shell (dashed). z should lie on "
        "it; mu lies inside, because the noise round it fills the rest.",
    ),
    "mahalanobis": Text(
        "Distance from the centre, in the cloud's own deviations",
        "Histograms of squared Mahalanobis distances beside the chi-square distribution",
        "If z were a normal cloud, of whatever widths, it would follow the dashed curve; a "
        "validation curve to the right of train shows how few images fit the covariance.",
    ),
    "dimensions": Text(
        "Deviation and KL of every dimension",
        "Deviations of z, mu and the noise, and below the KL, for all dimensions by rank",
        "z should have deviation 1 everywhere. Where mu spreads, the dimension knows something "
        "of the image; where mu stands still, it is all noise.",
    ),
    "normality": Text(
        "Each dimension beside N(0, 1)",
        "Four panels of points: distances from N(0, 1), skewness and excess kurtosis by rank",
        "Points near the dashed lines are as normal as so many values of N(0, 1) would be; the "
        "ones on the left of each panel are the dimensions that the KL loss bends least.",
    ),
    "components": Text(
        "The strongest dimensions",
        "Histograms of single components of z beside N(0, 1)",
        "The dimensions with the most to say: shoulders and shifts against the dashed curve are "
        "what they say.",
    ),
    "eigenvalues": Text(
        "Eigenvalues of the covariance",
        "Eigenvalues of the covariance of z and mu by rank beside those of N(0, I)",
        "A ball would follow the dashed curve, which is not flat because the images are few. Large "
        "ones on the left are directions in which the cloud is too long.",
    ),
    "planes": Text(
        "The most correlated pairs",
        "Density contours of pairs of dimensions with confidence ellipses",
        "Round contours: these two dimensions know nothing of each other. Slanted ones: the "
        "covariance is not I, and N(0, I) draws from the corners that stay empty.",
    ),
    "principal": Text(
        "Before and after PCA",
        "Density contours of z in two dimensions, along its principal axes, and whitened",
        "Turned to its widest axes the cloud shows its true shape; whitened, what is still not "
        "round is what no Gaussian can describe.",
    ),
    "rate": Text(
        "What the KL loss is made of",
        "Bars of the three parts of the KL loss of train, validation and test",
        "Only the first part tells images apart, and no more than the dashed line; the other two "
        "are what z pays for not being N(0, I).",
    ),
    "attributes": Text(
        "Attributes in the widest plane",
        "Images as points in the plane of the two widest axes of mu, coloured by attributes",
        "Colours that separate: the widest directions of the cloud are made of this attribute. "
        "Colours that mix: it sits elsewhere, or nowhere.",
    ),
    "tsne": Text(
        "Attributes in a t-SNE map",
        "Images as points of a t-SNE map of mu, coloured by attributes",
        "Neighbours here are neighbours in mu; distances between groups mean nothing.",
    ),
    "scales": Text(
        "How far from the origin faces stay faces",
        "Rows of faces decoded from the same z-points at 0 to 3 times their length",
        "At 0 all are the mean face; at 1 they are the reconstructions with noise; further out "
        "features first exaggerate and then fall apart.",
    ),
    "cubes": Text(
        "Faces from uniform cubes",
        "Rows of faces decoded from uniform cubes of several sizes",
        "Small cubes give mean faces, large ones caricatures: the best b lies between.",
    ),
    "cube": Text(
        "The best cube",
        "Energy distance of uniform cubes from the z-points over half their side",
        "The lowest point is the best b, half the side of the cube. Where it stands above the "
        "lines, no cube is as close to the z-points as these clouds are.",
    ),
    "samplers": Text(
        "Samplers and temperature",
        "Energy distance of the samplers over temperature, and likelihood of mixtures",
        "Lower is closer to the validation z-points; below the dashed line differences are chance. "
        "The markers are the best temperatures.",
    ),
}

AUC = Text(
    "What can be read off mu",
    "Bars of the area under the ROC curve for each attribute",
    "Bars that reach far right are attributes that a straight cut through mu finds; those near "
    "the dashed line it does not know.",
)
FACTORS = Text(
    "Where the true factors sit",
    "Heat map of the mutual information between true factors and dimensions of mu",
    "A bright cell alone in its row would be a factor with a dimension of its own; a row without "
    "one is a factor spread over many dimensions, or unknown to mu.",
)
BEST_AND_WORST = Text(
    "Best and worst reconstructions of test",
    "Rows of test images and their reconstructions, the best and the worst by MS-SSIM",
    "What the best have in common is what the model has seen most of; what sets the worst apart "
    "is what it has seen too seldom, or has no room for in z.",
)


def pushed(name: str) -> Text:
    """Return what belongs to faces pushed along an attribute."""
    return Text(
        f"Faces pushed along {name}",
        f"Rows of validation faces, pushed from less to more along {name}",
        "On each row only this attribute should change, most at the ends; whatever else moves "
        "with it goes together with it in the data.",
    )


def nearest(sampler: str) -> Text:
    """Return what belongs to drawn faces beside their nearest training images."""
    return Text(
        f"Nearest training images, sampler {sampler}",
        f"Rows of faces drawn by {sampler}, each above the training image nearest to it",
        "Drawn faces should resemble their nearest training images without copying them, no more "
        "than the real test faces at the bottom do.",
    )


# What metrics mean, by the last part of their names.
MEANINGS = {
    "images": "number of images",
    "z_dim": "dimensions of z",
    "kl_nats_per_image": "KL loss, nats per image",
    "active_dimensions": "dimensions whose mu varies with the image",
    "index_code_mutual_information": "what z tells about which image it is, nats",
    "total_correlation": "what dimensions tell about each other, nats",
    "dimension_wise_kl": "what bends single dimensions away from N(0, 1), nats",
    "z_radius_mean": "mean of |z|",
    "z_radius_std": "deviation of |z|",
    "mu_radius_mean": "mean of |mu|",
    "mu_radius_std": "deviation of |mu|",
    "chi_mean": "mean of |z| that N(0, I) gives",
    "chi_std": "deviation of |z| that N(0, I) gives",
    "z_radius_ks_distance": "Kolmogorov-Smirnov distance of |z| from chi, 0 to 1",
    "z_radius_wasserstein_distance": "Wasserstein distance of |z| from chi, unit of z",
    "centre_distance": "distance of the centre of z from the origin; N(0, I): 0",
    "mean_z_rms": "that distance for a single dimension (root mean square)",
    "std_z_mean": "mean deviation of a dimension of z; N(0, I): 1",
    "std_mu_mean": "mean deviation of a dimension of mu",
    "posterior_variance_mean": "mean variance of z round its mu",
    "z_ks_distance_mean": "mean Kolmogorov-Smirnov distance of a dimension from N(0, 1)",
    "z_energy_distance": "energy distance of z from N(0, I); about 0 or below: chance",
    "largest_correlation": "largest correlation of two dimensions of z; N(0, I): near 0",
    "eigenvalue_max": "variance along the longest axis of z",
    "eigenvalue_min": "variance along the shortest axis of z",
    "condition_number": "their ratio; none where images are fewer than dimensions",
    "effective_rank": "number of axes that the variance is spread over",
    "mse_mean": "mean squared error, pixels from 0 to 1",
    "mse_std": "its deviation over the images",
    "psnr_db_mean": "mean PSNR, dB",
    "psnr_db_std": "its deviation over the images, dB",
    "psnr_db_of_mean_mse": "PSNR of the mean squared error, dB",
    "ssim_mean": "mean SSIM; equal images: 1",
    "ssim_std": "its deviation over the images",
    "ms_ssim_mean": "mean SSIM over several scales; equal images: 1",
    "ms_ssim_std": "its deviation over the images",
    "importance_samples": "z-points drawn for each image",
    "sigma": "deviation of a pixel round the decoder's mean, pixels from 0 to 1",
    "elbo_bits_per_dimension": "ELBO, bits for a value of a pixel; knowing nothing: 8",
    "bound_bits_per_dimension": "importance-weighted bound, bits for a value of a pixel",
    "encoder_parameters": "parameters of the encoder",
    "decoder_parameters": "parameters of the decoder",
    "training_images": "images that the model learned from",
    "epochs": "passes over them",
    "chosen_epoch": "epoch whose weights were kept",
    "learning_rate": "step size in that epoch",
    "kl_weight": "factor on the KL loss in that epoch",
    "loss": "training: whole loss, nats per image",
    "reconstruction": "training: reconstruction loss, nats per image",
    "kl": "training: KL loss, nats per image",
    "kl_weighted": "training: KL loss times its weight, nats per image",
    "bits_per_dimension": "training: negative ELBO, bits for a value of a pixel",
    "gradient_norm": "length of the gradient, nats per image",
    "val_loss": "validation: whole loss, nats per image",
    "val_reconstruction": "validation: reconstruction loss, nats per image",
    "val_kl": "validation: KL loss, nats per image",
    "val_kl_weighted": "validation: KL loss times its weight, nats per image",
    "val_bits_per_dimension": "validation: negative ELBO, bits for a value of a pixel",
    "val_active_dimensions": "validation: dimensions whose mu varies with the image",
    "best": "sampler closest to the validation z-points",
    "temperature": "its best temperature",
    "normal_energy_distance": "N(0, I) from validation z, at its best temperature",
    "gaussian_energy_distance": "fitted Gaussian from validation z, the same",
    "gmm_energy_distance": "mixture of Gaussians from validation z, the same",
    "ellipse_energy_distance": "ellipses from validation z, the same",
    "test_energy_distance": "the best one from test z, looked at once",
    "test_floor": "training z from test z: differences below it are chance",
    "best_b": "half the side of the uniform cube closest to z",
    "best_energy_distance": "energy distance of that cube from z",
    "radius_b": "half the side of the cube with the mean |z|^2 of z",
    "probes": "attributes with a probe",
    "left_out": "attributes without one",
    "auc_mean": "mean area under the ROC curve; guessing: 0.5",
    "factors": "true factors",
    "disentanglement": "how far a dimension belongs to one factor, 0 to 1",
    "completeness": "how far a factor sits in one dimension, 0 to 1",
    "informativeness": "how well factors can be predicted from mu; perfect: 1",
    "mig": "gap between the two best dimensions of a factor, 0 to 1",
}

COMPARED = (
    "swd: sliced Wasserstein distance of patches, times 1000, on average and by the side of the "
    "pyramid's level in pixels; smaller is better. pair_similarity: MS-SSIM of pairs; above that "
    "of test, faces are less diverse or blurred. precision, recall, density, coverage: in the "
    "space of a random net; more is better, but blur flatters precision and density. "
    "memorisation_ratio: towards 0 where training images are copied. Read each sampler between "
    "validation (other real faces: what chance alone gives) and reconstructions (what the "
    "decoder's blur costs)."
)
