"""The factors of the menagerie, its colours, the parts of its masks and its label sets."""

from .animals import ANIMAL_PARTS, ANIMALS
from .base import FactorSpec
from .landscape import FACTORS as LANDSCAPE_FACTORS
from .textures import TEXTURES

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.25, 0.25),
    "orange": (0.96, 0.53, 0.15),
    "yellow": (0.95, 0.78, 0.20),
    "green": (0.33, 0.64, 0.30),
    "teal": (0.12, 0.60, 0.60),
    "blue": (0.22, 0.43, 0.82),
    "purple": (0.50, 0.30, 0.72),
    "pink": (0.94, 0.47, 0.66),
    "brown": (0.54, 0.35, 0.22),
    "grey": (0.50, 0.53, 0.57),
}
FACTORS: tuple[FactorSpec, ...] = (
    FactorSpec("animal", 0, len(ANIMALS) - 1, "discrete", "index into ANIMALS"),
    FactorSpec("texture", 0, len(TEXTURES) - 1, "discrete", "index into TEXTURES"),
    FactorSpec("colour", 0, len(COLOURS) - 1, "discrete", "index into the names of COLOURS"),
    FactorSpec("facing", 0, 1, "discrete", "0 faces right, 1 faces left"),
    FactorSpec("texture_dark", 0, 1, "discrete", "texture colour: 0 lighter, 1 darker than the coat"),
    FactorSpec("x", -0.26, 0.26, "continuous", "centre of the animal, image units (the image is [-1, 1])"),
    FactorSpec("y", -0.18, 0.26, "continuous", "centre of the animal, image units, down"),
    FactorSpec("scale", 0.48, 0.7, "continuous", "radius of the disc the animal fits in, image units"),
    FactorSpec("rotation", -0.22, 0.22, "continuous", "turn of the animal, radians, clockwise"),
    FactorSpec("leg_length", -1.0, 1.0, "continuous", "short to long legs (fins, feelers), mild"),
    FactorSpec("head_size", -1.0, 1.0, "continuous", "small to big head, mild"),
    FactorSpec("colour_hue", -0.15, 0.15, "continuous", "shift of the coat's hue, radians"),
    FactorSpec("colour_light", -0.06, 0.06, "continuous", "shift of the coat's lightness"),
    FactorSpec("texture_strength", 0.0, 1.0, "continuous", "how far the texture's colour is from the coat's"),
    FactorSpec("texture_period", 0.28, 0.38, "continuous", "period of the texture, in units of scale"),
    FactorSpec("texture_phase_u", 0.0, 1.0, "continuous", "shift of the texture along the body, in periods"),
    FactorSpec("texture_phase_v", 0.0, 1.0, "continuous", "shift of the texture across the body, in periods"),
    FactorSpec("texture_angle", -0.35, 0.35, "continuous", "turn of the texture on the animal, radians"),
    *LANDSCAPE_FACTORS,
)
FACTOR_NAMES: tuple[str, ...] = tuple(s.name for s in FACTORS)
PARTS: tuple[str, ...] = ("object", *ANIMAL_PARTS, "texture", "background")
LABEL_SETS = ("animals2", "animals4", "animals10", "animal_texture60", "animal_colour100")
