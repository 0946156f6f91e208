"""Texts of the report: title, description and caption of each picture; meanings of metrics, words.

Names of files and of metrics are those that the stages write. What is not listed here is not shown
(pictures) or shown without a meaning (metrics).
"""

from typing import Literal, NamedTuple


class Text(NamedTuple):
    """What belongs to one picture.

    Attributes:
        title: above it; not what a plot has as a title inside.
        alt: the picture in words, for those who cannot see it.
        see: what to see in it.
    """

    title: str
    alt: str
    see: str


Kind = Literal["faces", "plot", "panels"]


class Plot(NamedTuple):
    """A plot of a stage: what belongs to it; of many panels or of few; not of every run."""

    text: Text
    kind: Kind = "plot"
    optional: bool = False


OVERVIEW = Text(
    "Images, reconstructions and generated faces",
    "Rows of ten faces: images, their reconstructions, and faces from random z-points",
    "The more the lower rows look like the first, the better.",
)

SAMPLES = {
    "random_normal": Text(
        "Faces from N(0, I)",
        "Grid of faces decoded from random points of N(0, I)",
        "The KL loss moves the z-points of the images towards N(0, I). Where it succeeded, these "
        "are faces; where it did not, they are not. A faint grid in all of them comes from the "
        "transposed convolutions of stride 2.",
    ),
    "random_chosen": Text(
        "Faces from the chosen sampler",
        "Grid of faces decoded from random points of the chosen sampler",
        "Generated from the region where the z-points of the training images lie. If these are "
        "better than those from N(0, I), the z-points do not lie where N(0, I) does.",
    ),
    "reconstructions": Text(
        "Reconstructions of validation images",
        "Rows of validation images, each above its reconstruction",
        "Each image stands above its reconstruction. Pose, colours and hair should come through; "
        "z has no room for the details that are lost.",
    ),
    "walks": Text(
        "Interpolation between z-points",
        "Rows of faces, each along a straight line between two random z-points",
        "Each row goes straight from one z-point to another. Faces should change step by step, and "
        "those in the middle should be faces too: then the region between has no holes.",
    ),
}

LOSSES = Text(
    "Losses by epoch",
    "Curves of the losses of training and validation over the epochs",
    "Both curves should fall and flatten together. Validation that rises while training falls "
    "means overfitting; curves still falling at the end mean that more epochs would help.",
)

KL = Text(
    "How many dimensions are used",
    "Curves of the KL loss of all dimensions in order of rank, for several epochs",
    "Dimensions on the left carry information on the image; those at 0 carry none, and the decoder "
    "ignores them. The steeper the curve, the fewer dimensions are used.",
)

# What tells whether N(0, I) is a good place to generate faces from.
ZPOINTS = {
    "radius": Plot(
        Text(
            "z and the shell of N(0, I)",
            "Histograms of the lengths of z and mu beside the chi distribution",
            "In many dimensions the points of N(0, I) lie in a thin shell (dashed). z should lie "
            "in it; mu lies further inside, because the noise around mu adds the rest.",
        )
    ),
    "dimensions": Plot(
        Text(
            "Every dimension",
            "Standard deviations of z, mu and the noise, and below the KL, for all dimensions by "
            "rank",
            "z should have standard deviation 1 in every dimension. Where mu varies over the "
            "images, the dimension carries information on them; where mu is constant, z is noise.",
        )
    ),
    "samplers": Plot(
        Text(
            "Samplers and temperature",
            "Energy distance of the samplers over temperature, and likelihood of mixtures",
            "Lower is closer to the validation z-points; below the dashed line differences are "
            "chance. The markers are the best temperatures.",
        )
    ),
    "rate": Plot(
        Text(
            "KL decomposition",
            "Bars of the three parts of the KL loss of train, validation and test",
            "Only the first part tells images apart, and it cannot exceed the dashed line. The "
            "other two measure how far the z-points of all images together are from N(0, I).",
        ),
        optional=True,
    ),
    "scales": Plot(
        Text(
            "How far from the origin faces stay faces",
            "Rows of faces decoded from the same z-points at 0 to 3 times their length",
            "At 0 all are the mean face; at 1 they are reconstructions with noise; further out "
            "features are exaggerated first, and then fall apart.",
        ),
        "faces",
    ),
}

# For questions that those above raise. Optional is what needs more images than dimensions, two
# dimensions, attributes, or is asked for.
MORE_ZPOINTS = {
    "eigenvalues": Plot(
        Text(
            "How round the cloud is",
            "Eigenvalues of the covariance of z and mu by rank beside those of N(0, I)",
            "A round cloud would follow the dashed curve, which is not flat because the images are "
            "few. Large values on the left are directions in which the cloud is too long.",
        )
    ),
    "mahalanobis": Plot(
        Text(
            "Mahalanobis distance",
            "Histograms of squared Mahalanobis distances beside the chi-square distribution",
            "Distances from the centre, measured in the cloud's own standard deviations. If z were "
            "normally distributed, whatever its covariance, they would follow the dashed curve. A "
            "validation curve to the right of train means that the training images are too few to "
            "estimate the covariance.",
        ),
        optional=True,
    ),
    "cube": Plot(
        Text(
            "The best cube",
            "Energy distance of uniform cubes from the z-points over half their side",
            "The lowest point is the best b, half the side of the cube. Where it is above the "
            "horizontal lines, no cube is as close to the z-points as the clouds that they stand "
            "for.",
        )
    ),
    "cubes": Plot(
        Text(
            "Faces from uniform cubes",
            "Rows of faces decoded from uniform cubes of several sizes",
            "Small cubes give mean faces, large ones caricatures: the best b lies between.",
        ),
        "faces",
    ),
    "components": Plot(
        Text(
            "Where the most information is",
            "Histograms of single components of z beside N(0, 1)",
            "These dimensions carry most information on the images. Where a histogram is shifted, "
            "or has a shoulder beside the dashed curve of N(0, 1), groups of images lie apart.",
        ),
        "panels",
    ),
    "normality": Plot(
        Text(
            "Shape of each dimension",
            "Four panels of points: distances from N(0, 1), skewness and excess kurtosis by rank",
            "Points near the dashed lines are as normal as so many values of N(0, 1) would be. The "
            "dimensions on the left of each panel differ most from N(0, 1).",
        ),
        "panels",
    ),
    "planes": Plot(
        Text(
            "Correlation of dimensions",
            "Density contours of pairs of dimensions with confidence ellipses",
            "Round contours mean that the two dimensions are uncorrelated. Slanted ones mean that "
            "the covariance is not I, and that N(0, I) also samples corners where no image "
            "lies.",
        ),
        "panels",
        optional=True,
    ),
    "principal": Plot(
        Text(
            "Before and after PCA",
            "Density contours of z in two dimensions, along its principal axes, and whitened",
            "Along its widest axes the cloud shows its true shape. What is still not round after "
            "whitening cannot be described by a Gaussian.",
        ),
        "panels",
        optional=True,
    ),
    "attributes": Plot(
        Text(
            "Attributes in the widest plane",
            "Images as points in the plane of the two widest axes of mu, coloured by attributes",
            "Where the two colours lie apart, the widest directions of the cloud follow this "
            "attribute. Where they mix, the attribute lies along other directions, or mu does not "
            "hold it at all: the areas under the ROC curve, below, tell which.",
        ),
        "panels",
        optional=True,
    ),
    "tsne": Plot(
        Text(
            "Attributes in a t-SNE map",
            "Images as points of a t-SNE map of mu, coloured by attributes",
            "Neighbours here are neighbours in mu; distances between groups mean nothing.",
        ),
        "panels",
        optional=True,
    ),
}

AUC = Text(
    "Attributes that mu holds",
    "Bars of the area under the ROC curve for each attribute",
    "The further right a bar reaches, the better a linear probe finds the attribute in mu. At the "
    "dashed line it guesses.",
)
FACTORS = Text(
    "Factors and dimensions",
    "Heat map of the mutual information between true factors and dimensions of mu",
    "A bright cell alone in its row is a factor with a dimension of its own. A row without a "
    "bright cell is a factor that many dimensions share, or that mu does not hold.",
)
BEST_AND_WORST = Text(
    "Best and worst reconstructions of test, by MS-SSIM",
    "Rows of test images and their reconstructions, the best and the worst by MS-SSIM",
    "The best look like what most training images look like. The worst show what is rare among "
    "them, or has no room in z.",
)


def pushed(name: str, auc: float | None) -> Text:
    """Return what belongs to faces that were moved along the direction of an attribute.

    Args:
        name: the attribute.
        auc: the area under the ROC curve of its probe; None where it is not known.
    """
    return Text(
        f"Faces moved along {name}" + (f" (AUC {auc:.2f})" if auc is not None else ""),
        f"Rows of validation faces, moved from less to more along {name}",
        "Above each column: by how many standard deviations of mu. In each row only this attribute "
        "should change, most at the ends. Whatever else changes is correlated with it in the "
        "training images.",
    )


def nearest(sampler: str) -> Text:
    """Return what belongs to generated faces beside their nearest training images."""
    return Text(
        f"Nearest training images, sampler {sampler}",
        f"Rows of faces generated by {sampler}, each above the training image nearest to it",
        "Generated faces should resemble their nearest training images without copying them, no "
        "more than the real test faces at the bottom do.",
    )


def which_commit(run: str) -> str:
    """Return the command that finds the commit or the experiment of a run, with its date."""
    return f"git log --all --decorate-refs='refs/*' --format='%h %cs %D' -S{run} -- dvc.lock"


# The words that the page leans on.
GLOSSARY = {
    "z, z-point": "the latent code of an image: a point that the Decoder turns into a face. "
    "z = mu + exp(log_var / 2) x noise.",
    "mu, log_var": "what the Encoder makes of an image: the centre of its z-points, and the "
    "logarithm of their variance around it.",
    "N(0, I)": "the normal distribution of independent components with mean 0 and variance 1, from "
    "which a VAE is meant to generate.",
    "KL loss": "how far the z-points of an image are from N(0, I); it pays for what z tells of it.",
    "nat": "unit of losses and information: 1 nat is 1.44 bits.",
    "sampler, temperature": "a distribution to draw z-points from; and a factor on their distance "
    "from its mean.",
    "energy distance": "how far two clouds of points are from each other; about 0: the same.",
    "PSNR, SSIM": "how close a reconstruction comes to its image: by the squared error, in "
    "dB; by contrast and structure, equal images 1. More is better.",
    "SWD": "sliced Wasserstein distance between patches of two sets of faces, times 1000. Lower is "
    "better; other real faces are the floor.",
    "recall": "share of real faces that lie among the generated ones: their diversity. Blur does "
    "not flatter it.",
    "AUC": "area under the ROC curve: how well a probe tells who has an attribute. 0.5: guessing; "
    "1: always right.",
}

# What metrics mean, by the last part of their names.
MEANINGS = {
    "images": "number of images",
    "z_dim": "dimensions of z",
    "kl_nats_per_image": "KL loss, nats per image",
    "active_dimensions": "dimensions whose mu varies at all with the image (variance above 0.01)",
    "informative_dimensions": "dimensions that carry more than 0.1 nats of the KL loss",
    "index_code_mutual_information": "mutual information of z and the image it comes from, nats",
    "total_correlation": "dependence of the dimensions on each other, nats",
    "dimension_wise_kl": "how far single dimensions are from N(0, 1), nats",
    "z_radius_mean": "mean of |z|",
    "z_radius_std": "standard deviation of |z|",
    "mu_radius_mean": "mean of |mu|",
    "mu_radius_std": "standard deviation of |mu|",
    "chi_mean": "mean of |z| that N(0, I) gives",
    "chi_std": "standard deviation of |z| that N(0, I) gives",
    "z_radius_ks_distance": "Kolmogorov-Smirnov distance of |z| from chi, 0 to 1",
    "z_radius_wasserstein_distance": "Wasserstein distance of |z| from chi, unit of z",
    "centre_distance": "distance of the centre of z from the origin; N(0, I): 0",
    "mean_z_rms": "that distance for a single dimension (root mean square)",
    "std_z_mean": "mean standard deviation of a dimension of z; N(0, I): 1",
    "std_mu_mean": "mean standard deviation of a dimension of mu",
    "posterior_variance_mean": "mean variance of z around its mu",
    "z_ks_distance_mean": "mean Kolmogorov-Smirnov distance of a dimension from N(0, 1)",
    "z_energy_distance": "energy distance of z from N(0, I); about 0 or below: chance",
    "largest_correlation": "largest correlation of two dimensions of z; N(0, I): near 0",
    "eigenvalue_max": "variance along the longest axis of z",
    "eigenvalue_min": "variance along the shortest axis of z",
    "condition_number": "their ratio; none where images are fewer than dimensions",
    "effective_rank": "number of axes that the variance is spread over",
    "mse_mean": "mean squared error, pixels from 0 to 1",
    "mse_std": "its standard deviation over the images",
    "psnr_db_mean": "mean PSNR, dB",
    "psnr_db_std": "its standard deviation over the images, dB",
    "psnr_db_of_mean_mse": "PSNR of the mean squared error, dB",
    "ssim_mean": "mean SSIM; equal images: 1",
    "ssim_std": "its standard deviation over the images",
    "ms_ssim_mean": "mean SSIM over several scales; equal images: 1",
    "ms_ssim_std": "its standard deviation over the images",
    "importance_samples": "z-points sampled for each image",
    "sigma": "standard deviation of a pixel around the decoder's mean, pixels from 0 to 1",
    "elbo_bits_per_dimension": "ELBO, bits for an 8-bit value of a pixel; uniform guess: 8",
    "bound_bits_per_dimension": "importance-weighted bound, bits for an 8-bit value of a pixel",
    "encoder_parameters": "parameters of the encoder",
    "decoder_parameters": "parameters of the decoder",
    "step_bytes": "bytes that a training step holds, counted from the shapes",
    "training_images": "images that the model learned from",
    "epochs": "passes over them",
    "chosen_epoch": "epoch whose weights were kept",
    "learning_rate": "step size in that epoch",
    "kl_weight": "factor on the KL loss in that epoch",
    "loss": "training: whole loss, nats per image",
    "reconstruction": "training: reconstruction loss, nats per image",
    "kl": "training: KL loss, nats per image",
    "kl_weighted": "training: KL loss times its weight, nats per image",
    "gradient_norm": "length of the gradient, nats per image",
    "val_loss": "validation: whole loss, nats per image",
    "val_reconstruction": "validation: reconstruction loss, nats per image",
    "val_kl": "validation: KL loss, nats per image",
    "val_kl_weighted": "validation: KL loss times its weight, nats per image",
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
    "completeness": "how far a factor lies in one dimension, 0 to 1",
    "informativeness": "how well factors can be predicted from mu; perfect: 1",
    "mig": "gap between the two best dimensions of a factor, 0 to 1",
}

COMPARED = (
    "swd: sliced Wasserstein distance of patches, times 1000, on average and by the side of the "
    "pyramid's level in pixels; smaller is better. pair_similarity: MS-SSIM of pairs; above that "
    "of test, faces are less diverse or blurred. precision, recall, density, coverage: in the "
    "space of a random net; more is better, but blur flatters precision and density. "
    "memorisation_ratio: towards 0 where training images are copied. copies_of_train: faces that a "
    "training image equals, where there are any; a test image that does measures nothing new. Read "
    "each sampler between validation (other real faces: what chance alone gives) and "
    "reconstructions (what the decoder's blur costs)."
)
