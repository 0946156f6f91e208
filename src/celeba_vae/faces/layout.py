"""The layout of CelebA's official release: file names, frame, attributes and the official split.

Every source of faces brings this layout into data/imported.
"""

ARCHIVE = "img_align_celeba.zip"
ARCHIVE_FOLDER = "img_align_celeba"
ATTRIBUTES_FILE = "list_attr_celeba.txt"
PARTITION_FILE = "list_eval_partition.txt"
IDENTITY_FILE = "identity_CelebA.txt"

# Only drawn faces have true factors; and every source leaves a note of what it is.
FACTORS_FILE = "factors.csv"
SOURCE_FILE = "source.json"

FRAME_WIDTH, FRAME_HEIGHT = 178, 218

# The numbers in the partition file, in their order.
SPLITS = ("train", "validation", "test")

# The images in each of them (Liu et al. 2015).
OFFICIAL_SPLIT = (162_770, 19_867, 19_962)

ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)


def split_counts(images: int) -> tuple[int, int, int]:
    """Return how many of `images` are train, validation and test, in CelebA's proportions.

    Validation and test are rounded to the nearest, the rest is train; the sum is `images`.
    """
    whole = sum(OFFICIAL_SPLIT)
    validation = (2 * images * OFFICIAL_SPLIT[1] + whole) // (2 * whole)
    test = (2 * images * OFFICIAL_SPLIT[2] + whole) // (2 * whole)
    return images - validation - test, validation, test
