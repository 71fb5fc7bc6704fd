"""Published rows of the nine classical methods, and why some cannot be met. Numbers as printed; nothing here is measured."""

from __future__ import annotations

from collections.abc import Mapping

TITLES: Mapping[str, str] = {
    "tophat": "Top-Hat",
    "maxmedian": "Max-Median",
    "tllcm": "TLLCM",
    "wslcm": "WSLCM",
    "ipi": "IPI",
    "nram": "NRAM",
    "ript": "RIPT",
    "pstnn": "PSTNN",
    "mslstipt": "MSLSTIPT",
}

BASICIRSTD: Mapping[str, Mapping[str, str]] = {
    "nuaa_213_214": {
        "tophat": "7.142/79.841/1012.0",
        "maxmedian": "1.168/30.196/55.33",
        "wslcm": "1.021/80.987/45846",
        "tllcm": "11.034/79.473/7.27",
        "ipi": "25.674/85.551/11.47",
        "nram": "12.164/74.523/13.85",
        "ript": "11.048/79.077/22.61",
        "pstnn": "22.401/77.953/29.11",
        "mslstipt": "10.302/82.128/1131",
    },
    "50_50": {
        "tophat": "20.724/78.408/166.70",
        "maxmedian": "4.201/58.413/36.89",
        "wslcm": "0.848/74.574/52392",
        "tllcm": "7.059/62.014/46.12",
        "ipi": "17.758/74.486/41.23",
        "nram": "6.931/56.403/19.27",
        "ript": "29.441/91.850/344.3",
        "pstnn": "14.848/66.132/44.17",
        "mslstipt": "8.341/47.399/88.1",
    },
}
"""Lists -> method -> IoU/Pd/Fa: README of XinyiYing/BasicIRSTD; 214 and 664 test frames, which are ours."""

IRSAM: Mapping[str, Mapping[str, str]] = {
    "v1": {
        "tophat": "1.508/3.084/79.74/16456",
        "maxmedian": "6.022/25.35/84.34/774.3",
        "wslcm": "6.393/28.31/88.74/4462",
        "tllcm": "4.240/12.09/88.37/6243",
        "ipi": "1.09/50.23/87.05/30467",
        "nram": "13.54/18.95/60.04/25.23",
        "ript": "16.79/20.65/69.76/59.33",
        "pstnn": "30.30/33.67/72.80/48.99",
        "mslstipt": "1.080/0.814/0.052/8.183",
    },
    "50_50": {
        "tophat": "22.40/37.56/89.90/174.1",
        "maxmedian": "12.75/17.47/80.13/60.11",
        "wslcm": "1.809/7.258/75.89/595.3",
        "tllcm": "1.683/6.977/75.56/1131",
        "ipi": "30.93/35.99/81.98/17.99",
        "nram": "6.93/6.19/56.40/19.27",
        "ript": "29.67/37.57/91.65/65.30",
        "pstnn": "27.86/39.31/74.70/94.31",
        "mslstipt": "8.34/7.97/47.40/881",
    },
}
"""Lists -> method -> IoU/nIoU/Pd/Fa: Table 1 of IRSAM (ECCV 2024); its 86 NUAA frames are ours, its 266 NUDT frames are not."""

NOTES: Mapping[str, str] = {
    "tophat": "BasicIRSTD's NUAA row (7.14/79.84/1012) is not reproducible and its source is unknown: no square of 3 to "
    "31 px with the adaptive rule gives it (5 px: 15.65/80.23/142). IRSAM's NUAA row has 1.6 % of all pixels as "
    "false alarms.",
    "maxmedian": "BasicIRSTD's NUAA row (1.17/30.20/55.33) differs from that of the same method in LESPS Table 2 "
    "(4.17/69.20/55.33); ours is near the second but for Fa.",
    "tllcm": "BasicIRSTD's NUDT row is met to 0.004 in mode dnanet256, Fa included: it was scored with a code that "
    "forgives false objects by equal area. IRSAM's rows have a hundred times more false alarms; how they were "
    "made is not said.",
    "wslcm": "The released code divides by 0 where the surroundings of a pixel are black; published Fa of 1.5 to 5 % of "
    "all pixels are an artefact of that or of the thresholding. Ours takes the contrast there as 0, so these "
    "rows are not met on purpose.",
    "ipi": "IRSAM's NUAA row has IoU 1.09 beside nIoU 50.23: a few frames must have been predicted almost whole. The "
    "released windows leave up to 9 px at the right and lower border unseen; ours add windows there.",
    "nram": "IRSAM's NUDT row is BasicIRSTD's, digit for digit, although the test lists differ. BasicIRSTD's rows are within 1 "
    "point of IoU and 4 of Pd. The released code keeps the last of overlapping patches (`variant=literal`), ours their mean.",
    "ript": "BasicIRSTD's NUDT row (29.44/91.85/344) lies near our mean10 row and far from adaptive: it must have been cut by "
    "another rule. The released code keeps the last of overlapping patches (`variant=literal`), ours takes their mean.",
    "pstnn": "`variant=literal` keeps the released rank estimate, which reshapes where it means to unfold: it is the one "
    "closer to BasicIRSTD's NUDT row.",
    "mslstipt": "The code is unpublished: every number is of our reconstruction, degenerate on single frames (L = 1). "
    "BasicIRSTD prints Fa 88.1 on NUDT where LESPS Table 2 has 888.1; IRSAM's NUAA row (Pd 0.052) is "
    "implausible.",
}
"""Method -> what a reader must know when comparing."""
