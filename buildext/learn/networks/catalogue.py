"""The named list: encoders that are worth a try, with what they cost.

Any architecture of timm and smp can be asked for by name; those below are the lightweight ones that
are known to work here, family by family, and one heavy teacher. What an encoder costs stands in
`catalogue.json`, which `make matrix` measures, so that reading the list needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from buildext.learn.networks.normalisation import KNOWN_FILES

FIGURES = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True)
class Family:
    """Encoders of one paper.

    Attributes:
        name: as people call it.
        reference: the paper.
        encoders: names in the registry.
    """

    name: str
    reference: str
    encoders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What an encoder costs, without any classifier.

    Attributes:
        parameters: learnable numbers.
        macs: multiply-accumulates for one image of 256 x 256 pixels.
        strides: of its maps.
        widths: of these maps.
    """

    parameters: int
    macs: int
    strides: tuple[int, ...]
    widths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """One encoder of the list.

    Attributes:
        name: in the registry.
        family: it belongs to.
        reference: its paper.
        weights: name of a file of pretrained weights known to fit, or none.
        figures: measured.
    """

    name: str
    family: str
    reference: str
    weights: str
    figures: Figures


FAMILIES = (
    Family("ResNet", "He et al., CVPR 2016", ("resnet18", "resnet34")),
    Family("VGG (teacher)", "Simonyan and Zisserman, ICLR 2015", ("vgg19",)),
    Family("DenseNet", "Huang et al., CVPR 2017", ("densenet121",)),
    Family("DPN", "Chen et al., NeurIPS 2017", ("tu-dpn68",)),
    Family("SK-ResNet", "Li et al., CVPR 2019", ("tu-skresnet18", "tu-skresnet34")),
    Family("ResNeSt", "Zhang et al., CVPRW 2022", ("tu-resnest14d", "tu-resnest26d")),
    Family("GERNet", "Lin et al., arXiv 2006.14090", ("tu-gernet_s", "tu-gernet_m")),
    Family("HRNet", "Wang et al., TPAMI 2020", ("tu-hrnet_w18_small",)),
    Family(
        "MobileNetV2",
        "Sandler et al., CVPR 2018",
        ("tu-mobilenetv2_050", "tu-mobilenetv2_100", "tu-mobilenet_edgetpu_100"),
    ),
    Family(
        "MobileNetV3",
        "Howard et al., ICCV 2019",
        ("tu-mobilenetv3_small_100", "tu-mobilenetv3_large_100"),
    ),
    Family(
        "MobileNetV4",
        "Qin et al., ECCV 2024",
        ("tu-mobilenetv4_conv_small", "tu-mobilenetv4_conv_medium"),
    ),
    Family("MobileOne", "Vasu et al., CVPR 2023", ("tu-mobileone_s0",)),
    Family("MnasNet", "Tan et al., CVPR 2019", ("tu-mnasnet_100", "tu-semnasnet_100")),
    Family(
        "FBNet", "Wu et al., CVPR 2019; Dai et al., CVPR 2021", ("tu-fbnetc_100", "tu-fbnetv3_b")
    ),
    Family("HardCoRe-NAS", "Nayman et al., ICML 2021", ("tu-hardcorenas_a", "tu-hardcorenas_f")),
    Family("MixNet", "Tan and Le, BMVC 2019", ("tu-mixnet_s", "tu-mixnet_m", "tu-mixnet_l")),
    Family(
        "TinyNet",
        "Han et al., NeurIPS 2020",
        ("tu-tinynet_a", "tu-tinynet_b", "tu-tinynet_c", "tu-tinynet_d", "tu-tinynet_e"),
    ),
    Family("EfficientNet", "Tan and Le, ICML 2019", ("tu-efficientnet_b0", "tu-efficientnet_b1")),
    Family(
        "EfficientNet-lite",
        "Liu, TensorFlow 2020",
        ("tu-tf_efficientnet_lite0", "tu-tf_efficientnet_lite1"),
    ),
    Family(
        "EfficientNetV2",
        "Tan and Le, ICML 2021",
        ("tu-tf_efficientnetv2_b0", "tu-tf_efficientnetv2_b1", "tu-tf_efficientnetv2_b3"),
    ),
    Family(
        "GhostNet",
        "Han et al., CVPR 2020; Tang et al., NeurIPS 2022",
        ("tu-ghostnet_100", "tu-ghostnetv2_100"),
    ),
    Family("RepGhostNet", "Chen et al., arXiv 2211.06088", ("tu-repghostnet_100",)),
    Family("FasterNet", "Chen et al., CVPR 2023", ("tu-fasternet_t0", "tu-fasternet_t1")),
    Family("StarNet", "Ma et al., CVPR 2024", ("tu-starnet_s1", "tu-starnet_s2")),
    Family("RepViT", "Wang et al., CVPR 2024", ("tu-repvit_m0_9",)),
    Family("FastViT", "Vasu et al., ICCV 2023", ("tu-fastvit_t8",)),
    Family("SwiftFormer", "Shaker et al., ICCV 2023", ("tu-swiftformer_xs",)),
    Family("EdgeNeXt", "Maaz et al., ECCVW 2022", ("tu-edgenext_xx_small",)),
    Family("TinyViT", "Wu et al., ECCV 2022", ("tu-tiny_vit_5m_224",)),
    Family("EfficientViT-B", "Cai et al., ICCV 2023", ("tu-efficientvit_b0", "tu-efficientvit_b1")),
    Family("MiT (SegFormer)", "Xie et al., NeurIPS 2021", ("mit_b0",)),
    Family(
        "MobileViT",
        "Mehta and Rastegari, ICLR 2022",
        ("tu-mobilevit_xxs", "tu-mobilevit_xs", "tu-mobilevit_s"),
    ),
    Family(
        "MobileViTv2",
        "Mehta and Rastegari, TMLR 2023",
        ("tu-mobilevitv2_050", "tu-mobilevitv2_075", "tu-mobilevitv2_100"),
    ),
    Family(
        "EfficientViT-M",
        "Liu et al., CVPR 2023",
        tuple(f"efficientvit_m{size}" for size in range(6)),
    ),
    Family("SHViT", "Yun and Ro, CVPR 2024", tuple(f"shvit_s{size}" for size in range(1, 5))),
    Family(
        "EfficientMod",
        "Ma et al., ICLR 2024",
        ("efficientmod_xxs", "efficientmod_xs", "efficientmod_s", "efficientmod_s_conv"),
    ),
    Family("Hiera", "Ryali et al., ICML 2023", ("hiera_tiny", "hiera_small")),
    Family("TurboViT-style", "after Wong et al., arXiv 2308.11421", ("turbovit_style",)),
    Family("Searched", "after Wong et al., arXiv 1809.05989", ("searched",)),
    Family("EfficientFormer", "Li et al., NeurIPS 2022", ("efficientformer_l1",)),
    Family(
        "EfficientFormerV2",
        "Li et al., ICCV 2023",
        ("efficientformerv2_s0", "efficientformerv2_s1"),
    ),
    Family("Mobile-Former", "Chen et al., CVPR 2022", ("mobile_former_26m", "mobile_former_96m")),
    Family("FasterViT", "Hatamizadeh et al., ICLR 2024", ("fastervit_0",)),
)


def listed_names() -> tuple[str, ...]:
    """Names of all encoders of the list."""
    return tuple(name for family in FAMILIES for name in family.encoders)


def weights_of(name: str) -> str:
    """The file name of pretrained weights that are known to fit the encoder `name`, or none."""
    timm_name = name.removeprefix("tu-")
    return f"{timm_name}.safetensors" if timm_name in KNOWN_FILES else ""


def read_catalogue() -> tuple[Listed, ...]:
    """The list with its figures."""
    figures = {
        name: Figures(v["parameters"], v["macs"], tuple(v["strides"]), tuple(v["widths"]))
        for name, v in json.loads(FIGURES.read_text("utf-8")).items()
    }
    return tuple(
        Listed(name, family.name, family.reference, weights_of(name), figures[name])
        for family in FAMILIES
        for name in family.encoders
    )


def write_figures(figures: dict[str, Figures], path: Path = FIGURES) -> None:
    """Store measured figures, one encoder a line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(asdict(v))}" for name, v in figures.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def measure_figures(name: str) -> Figures:
    """Build the encoder `name` and measure it; this needs torch.

    Raises:
        ModelError: it cannot be built.
    """
    from buildext.learn.networks.macs import count_macs, count_parameters
    from buildext.learn.networks.registry import build_encoder, out_channels

    encoder = build_encoder(name, 5)
    present = [(2**stage, c) for stage, c in enumerate(out_channels(encoder)) if stage and c]
    return Figures(
        parameters=count_parameters(encoder),
        macs=count_macs(encoder, 256, 256),
        strides=tuple(stride for stride, _ in present),
        widths=tuple(width for _, width in present),
    )
