"""The tables of codes; ``codes.py`` reads them.

Law: one row is one code and what its nomenclature says it is. Rows without a metric are here because monitors
send them beside vital signs and they must not be taken for one.
"""

from __future__ import annotations

# metric ("" = not one of ours), rank among several sources in one message, what it is
Row = tuple[str, int, str]

_HEART, _PULSE, _CUFF_PULSE = "heart_rate", "pulse_rate", "nibp_pulse_rate"
_SYS, _DIA, _MEAN = "nibp_systolic", "nibp_diastolic", "nibp_mean"
_PANEL, _SPO2, _PI, _RESP = "blood_pressure", "spo2", "perfusion_index", "respiration_rate"
_CO2, _TEMP = "etco2", "temperature"

# code (32 bit), reference id, metric, rank, what it is
_MDC_ROWS: tuple[tuple[int, str, str, int, str], ...] = (
    (147842, "MDC_ECG_HEART_RATE", _HEART, 0, ""),
    (147850, "MDC_ECG_CARD_BEAT_RATE_BTB", _HEART, 2, "beat to beat"),
    (149514, "MDC_PULS_RATE", _PULSE, 5, "pulse of an unnamed source"),
    (149522, "MDC_BLD_PULS_RATE_INV", "", 0, "pulse of an arterial line"),
    (149530, "MDC_PULS_OXIM_PULS_RATE", _PULSE, 0, ""),
    (149538, "MDC_PLETH_PULS_RATE", _PULSE, 1, ""),
    (149546, "MDC_PULS_RATE_NON_INV", _CUFF_PULSE, 0, ""),
    (150016, "MDC_PRESS_BLD", "", 0, "a blood pressure of an unnamed place"),
    (150017, "MDC_PRESS_BLD_SYS", "", 0, "a systolic pressure of an unnamed place"),
    (150018, "MDC_PRESS_BLD_DIA", "", 0, "a diastolic pressure of an unnamed place"),
    (150019, "MDC_PRESS_BLD_MEAN", "", 0, "a mean pressure of an unnamed place"),
    (150020, "MDC_PRESS_BLD_NONINV", _PANEL, 0, ""),
    (150021, "MDC_PRESS_BLD_NONINV_SYS", _SYS, 0, ""),
    (150022, "MDC_PRESS_BLD_NONINV_DIA", _DIA, 0, ""),
    (150023, "MDC_PRESS_BLD_NONINV_MEAN", _MEAN, 0, ""),
    (150300, "MDC_PRESS_CUFF", "", 0, "the pressure in the cuff while it measures"),
    (150301, "MDC_PRESS_CUFF_SYS", _SYS, 0, ""),
    (150302, "MDC_PRESS_CUFF_DIA", _DIA, 0, ""),
    (150303, "MDC_PRESS_CUFF_MEAN", _MEAN, 0, ""),
    (150316, "MDC_SAT_O2", "", 0, "an oxygen saturation not by pulse oximetry"),
    (150320, "MDC_SAT_O2_QUAL", "", 0, "the quality of a saturation"),
    (150324, "MDC_SAT_O2_ART", "", 0, "an arterial oxygen saturation (blood gas)"),
    (150332, "MDC_SAT_O2_VEN", "", 0, "a venous oxygen saturation"),
    (150344, "MDC_TEMP", _TEMP, 0, ""),
    (150352, "MDC_TEMP_ART", _TEMP, 3, "blood temperature"),
    (150356, "MDC_TEMP_AWAY", "", 0, "an airway temperature"),
    (150364, "MDC_TEMP_BODY", _TEMP, 0, ""),
    (150368, "MDC_TEMP_CORE", _TEMP, 0, ""),
    (150372, "MDC_TEMP_ESOPH", _TEMP, 1, ""),
    (150376, "MDC_TEMP_INJ", "", 0, "the temperature of an injectate"),
    (150380, "MDC_TEMP_NASOPH", _TEMP, 1, ""),
    (150388, "MDC_TEMP_SKIN", "", 0, "a skin temperature"),
    (150392, "MDC_TEMP_TYMP", _TEMP, 1, ""),
    (150396, "MDC_TEMP_VEN", _TEMP, 3, "blood temperature"),
    (188420, "MDC_TEMP_RECT", _TEMP, 1, ""),
    (188424, "MDC_TEMP_ORAL", _TEMP, 1, ""),
    (188428, "MDC_TEMP_EAR", _TEMP, 1, ""),
    (188432, "MDC_TEMP_FINGER", "", 0, "a finger temperature"),
    (188448, "MDC_TEMP_TOE", "", 0, "a toe temperature"),
    (188452, "MDC_TEMP_AXILLA", _TEMP, 2, ""),
    (188456, "MDC_TEMP_GIT", _TEMP, 1, ""),
    (188496, "MDC_TEMP_AXIL", _TEMP, 2, ""),
    (150448, "MDC_PULS_OXIM_PERF_REL", _PI, 0, ""),
    (150488, "MDC_BLD_PERF_INDEX", _PI, 0, ""),
    (150456, "MDC_PULS_OXIM_SAT_O2", _SPO2, 0, ""),
    (150468, "MDC_PULS_OXIM_SAT_O2_DIFF", "", 0, "the difference of two saturations"),
    (150472, "MDC_PULS_OXIM_SAT_O2_ART_LEFT", _SPO2, 1, "left probe"),
    (150476, "MDC_PULS_OXIM_SAT_O2_ART_RIGHT", _SPO2, 1, "right probe"),
    (160300, "MDC_PULS_OXIM_SAT_O2_POST_DUCTAL", _SPO2, 2, "post-ductal probe"),
    (160296, "MDC_PULS_OXIM_SAT_O2_PRE_DUCTAL", _SPO2, 1, "pre-ductal probe"),
    (160324, "MDC_SPO2_SIGNAL_QUALITY_INDEX", "", 0, "a signal quality index"),
    (151552, "MDC_RESP", _RESP, 2, ""),  # Philips 0x5000, NOM_RESP, where it is a number
    (151562, "MDC_RESP_RATE", _RESP, 2, ""),
    (151570, "MDC_AWAY_RESP_RATE", _RESP, 1, "airway"),
    (151578, "MDC_TTHOR_RESP_RATE", _RESP, 3, "impedance"),
    (151586, "MDC_VENT_RESP_RATE", _RESP, 6, "ventilator"),
    (151594, "MDC_CO2_RESP_RATE", _RESP, 0, "capnograph"),
    (151602, "MDC_PRESS_RESP_RATE", _RESP, 7, "pressure"),
    (151650, "MDC_ACOUSTIC_RESP_RATE", _RESP, 4, "acoustic"),
    (151658, "MDC_PULS_OXIM_PLETH_RESP_RATE", _RESP, 8, "pleth"),
    (151708, "MDC_AWAY_CO2_ET", _CO2, 0, ""),
    (151712, "MDC_CONC_AWAY_CO2_EXP", _CO2, 1, ""),
    (151728, "MDC_AWAY_CO2_EXP", _CO2, 1, ""),  # Philips 0x50B0, NOM_AWAY_CO2_ET
    (151928, "MDC_VENT_AWAY_CO2_ET", _CO2, 2, ""),
    # Philips' own codes in partition 2 (IntelliVue data export)
    (0x2F0E5, "MDC_PRESS_BLD_NONINV_PULS_RATE", _CUFF_PULSE, 0, ""),
    (0x2F0C7, "MDC_TEMP_GEN_1", _TEMP, 1, ""),
    (0x2F0C8, "MDC_TEMP_GEN_2", _TEMP, 4, "second probe"),
    (0x2F0C9, "MDC_TEMP_GEN_3", _TEMP, 5, "third probe"),
    (0x2F0CA, "MDC_TEMP_GEN_4", _TEMP, 6, "fourth probe"),
    (0x2F09C, "MDC_PULS_OXIM_SAT_O2_TELE", _SPO2, 1, "telemetry"),
    (0x2F09D, "MDC_PULS_OXIM_PULS_RATE_TELE", _PULSE, 1, "telemetry"),
    (0x2F1C0, "MDC_PULS_OXIM_SAT_O2_PRE", _SPO2, 1, "pre-ductal probe"),
    (0x2F1D4, "MDC_PULS_OXIM_SAT_O2_POST", _SPO2, 2, "post-ductal probe"),
)

# Invasive pressures: four codes each (whole, systolic, diastolic, mean), from the 16-bit base.
_INVASIVE = {
    0x4A0C: ("MDC_PRESS_BLD_AORT", "an aortic pressure"),
    0x4A10: ("MDC_PRESS_BLD_ART", "an arterial line pressure (ART)"),
    0x4A14: ("MDC_PRESS_BLD_ART_ABP", "an arterial line pressure (ABP)"),
    0x4A1C: ("MDC_PRESS_BLD_ART_PULM", "a pulmonary artery pressure"),
    0x4A24: ("MDC_PRESS_BLD_ART_PULM_WEDGE", "a wedge pressure"),
    0x4A28: ("MDC_PRESS_BLD_ART_UMB", "an umbilical artery pressure"),
    0x4A2C: ("MDC_PRESS_BLD_ART_FEMORAL", "a femoral artery pressure"),
    0x4A30: ("MDC_PRESS_BLD_ATR_LEFT", "a left atrial pressure"),
    0x4A34: ("MDC_PRESS_BLD_ATR_RIGHT", "a right atrial pressure"),
    0x4A44: ("MDC_PRESS_BLD_VEN_CENT", "a central venous pressure"),
    0x4A48: ("MDC_PRESS_BLD_VEN_UMB", "an umbilical venous pressure"),
    0x5808: ("MDC_PRESS_INTRA_CRAN", "an intracranial pressure"),
}
_PARTS = ("", "_SYS", "_DIA", "_MEAN")

MDC: dict[int, Row] = {code: (metric, rank, what or name) for code, name, metric, rank, what in _MDC_ROWS}
MDC_NAMES: dict[str, Row] = {name: (metric, rank, what or name) for _, name, metric, rank, what in _MDC_ROWS}
MDC_REFERENCES: dict[int, str] = {code: name for code, name, *_ in _MDC_ROWS}
for _base, (_name, _what) in _INVASIVE.items():
    for _step, _part in enumerate(_PARTS):
        MDC[0x20000 + _base + _step] = MDC_NAMES[_name + _part] = ("", 0, _what)
        MDC_REFERENCES[0x20000 + _base + _step] = _name + _part

# Other names of the same things, seen in messages.
MDC_NAMES.update(
    {
        "MDC_ECG_CARD_BEAT_RATE": (_HEART, 0, ""),
        "MDC_HEART_RATE": (_HEART, 1, ""),
        "MDC_CONC_AWAY_CO2_ET": (_CO2, 0, ""),
        "MDC_CO2_ET": (_CO2, 1, ""),
        "MDC_CO2_INSP": ("", 0, "an inspired CO2"),
        "MDC_AWAY_CO2_INSP": ("", 0, "an inspired CO2"),
        "MDC_AWAY_CO2_INSP_MIN": ("", 0, "an inspired CO2"),
        "MDC_ECG_RESP_RATE": (_RESP, 3, "impedance"),
        "MDC_PULS_OXIM_PERF_INDEX": (_PI, 0, ""),
        "MDC_PERF_INDEX": (_PI, 0, ""),
        "MDC_PULS_OXIM_PULS_RATE_LEFT": (_PULSE, 1, "left probe"),
        "MDC_PULS_OXIM_PULS_RATE_RIGHT": (_PULSE, 1, "right probe"),
        "MDC_PRESS_BD_NONINV_SYS": (_SYS, 0, ""),
        "MDC_PRESS_BD_NONINV_DIA": (_DIA, 0, ""),
        "MDC_PRESS_BD_NONINV_MEAN": (_MEAN, 0, ""),
        "MDC_TEMP_BLD": (_TEMP, 3, "blood temperature"),
        "MDC_TEMP_BLADDER": (_TEMP, 1, ""),
        "MDC_TEMP_TEMPORAL": (_TEMP, 2, ""),
        "MDC_TEMP_ROOM": ("", 0, "a room temperature"),
    }
)

_INVASIVE_LOINC = ("", 0, "an invasive pressure")
LOINC: dict[str, Row] = {
    "8867-4": (_HEART, 1, ""),
    "76282-3": (_HEART, 0, "by ECG"),
    "8889-8": (_PULSE, 0, ""),
    "8893-0": (_PULSE, 6, "by palpation"),
    "8480-6": (_SYS, 0, ""),
    "76534-7": (_SYS, 0, ""),
    "8459-0": (_SYS, 0, "sitting"),
    "8460-8": (_SYS, 0, "standing"),
    "8461-6": (_SYS, 0, "supine"),
    "8462-4": (_DIA, 0, ""),
    "76535-4": (_DIA, 0, ""),
    "8453-3": (_DIA, 0, "sitting"),
    "8454-1": (_DIA, 0, "standing"),
    "8455-8": (_DIA, 0, "supine"),
    "8478-0": (_MEAN, 0, ""),
    "76536-2": (_MEAN, 0, ""),
    "76213-8": _INVASIVE_LOINC,
    "76214-6": _INVASIVE_LOINC,
    "76215-3": _INVASIVE_LOINC,
    "85354-9": (_PANEL, 0, ""),
    "55284-4": (_PANEL, 0, ""),
    "35094-2": (_PANEL, 0, ""),
    "59408-5": (_SPO2, 0, ""),
    "2708-6": (_SPO2, 1, ""),
    "59407-7": (_SPO2, 1, ""),
    "59417-6": (_SPO2, 1, "pre-ductal probe"),
    "59418-4": (_SPO2, 2, "post-ductal probe"),
    "2713-6": ("", 0, "a calculated oxygen saturation (blood gas)"),
    "2711-0": ("", 0, "a venous oxygen saturation"),
    "3150-6": ("", 0, "an inspired oxygen concentration"),
    "3151-8": ("", 0, "an inspired oxygen flow"),
    "61006-3": (_PI, 0, ""),
    "73798-7": (_PI, 0, ""),
    "9279-1": (_RESP, 2, ""),
    "76270-8": (_RESP, 8, "pleth"),
    "76171-8": (_RESP, 4, "acoustic"),
    "19891-1": (_CO2, 0, ""),
    "19889-5": (_CO2, 1, ""),
    "33437-5": (_CO2, 1, ""),
    "19935-6": ("", 0, "a peak flow"),
    "8310-5": (_TEMP, 0, ""),
    "8329-5": (_TEMP, 0, "core"),
    "8331-1": (_TEMP, 1, "oral"),
    "8332-9": (_TEMP, 1, "rectal"),
    "8328-7": (_TEMP, 2, "axillary"),
    "8333-7": (_TEMP, 1, "tympanic"),
    "76011-6": (_TEMP, 1, "ear"),
    "76010-8": (_TEMP, 1, "nasopharyngeal"),
    "60836-4": (_TEMP, 1, "oesophageal"),
    "75539-7": (_TEMP, 2, "temporal artery"),
    "39106-0": ("", 0, "a skin temperature"),
}

SNOMED: dict[str, Row] = {
    "364075005": (_HEART, 1, ""),
    "78564009": (_PULSE, 5, ""),
    "8499008": (_PULSE, 5, ""),
    "271649006": (_SYS, 0, ""),
    "271650006": (_DIA, 0, ""),
    "6797001": (_MEAN, 0, ""),
    "75367002": (_PANEL, 0, ""),
    "431314004": (_SPO2, 0, ""),
    "431591007": (_SPO2, 0, ""),
    "86290005": (_RESP, 2, ""),
    "386725007": (_TEMP, 0, ""),
    "276885007": (_TEMP, 0, "core"),
    "364246006": (_MEAN, 0, ""),
}

# Danish telemedicine sends NPU codes beside the others.
NPU: dict[str, Row] = {
    "NPU21692": (_HEART, 1, ""),
    "NPU03011": (_SPO2, 0, ""),
    "DNK05472": (_SYS, 0, ""),
    "DNK05473": (_DIA, 0, ""),
    "NPU08676": (_TEMP, 0, ""),
}

# Edan's gateway (system EHC): the number is its own, the name is plain.
EDAN: dict[str, Row] = {
    "ECG_HR": (_HEART, 0, ""),
    "SPO2_SPO2": (_SPO2, 0, ""),
    "SPO2_PR": (_PULSE, 0, ""),
    "SPO2_PI": (_PI, 0, ""),
    "NIBP_SYS": (_SYS, 0, ""),
    "NIBP_DIA": (_DIA, 0, ""),
    "NIBP_MAP": (_MEAN, 0, ""),
    "NIBP_MEAN": (_MEAN, 0, ""),
    "NIBP_PR": (_CUFF_PULSE, 0, ""),
    "RESP_RR": (_RESP, 3, ""),
    "CO2_ETCO2": (_CO2, 0, ""),
    "CO2_AWRR": (_RESP, 0, ""),
    "TEMP_T1": (_TEMP, 0, ""),
    "TEMP_T2": (_TEMP, 4, "second probe"),
}

# Mindray's own numbers (OBX-3 without a system): the names that confirm them, and what they are.
_MINDRAY_INVASIVE = {"sys", "mean", "dia", "artsys", "artmean", "artdia", "pasys", "pamean", "padia"}
MINDRAY: dict[str, tuple[frozenset[str], Row]] = {
    "101": (frozenset({"hr"}), (_HEART, 0, "")),
    "151": (frozenset({"rr"}), (_RESP, 3, "impedance")),
    "160": (frozenset({"spo2"}), (_SPO2, 0, "")),
    "161": (frozenset({"pr"}), (_PULSE, 0, "")),
    "162": (frozenset({"pi"}), (_PI, 0, "")),
    "170": (frozenset({"sys", "nibpsys", "nibps"}), (_SYS, 0, "")),
    "171": (frozenset({"dia", "nibpdia", "nibpd"}), (_DIA, 0, "")),
    "172": (frozenset({"mean", "nibpmean", "nibpm"}), (_MEAN, 0, "")),
    "173": (frozenset({"nibppr", "pr"}), (_CUFF_PULSE, 0, "")),
    "200": (frozenset({"t1"}), (_TEMP, 0, "")),
    "201": (frozenset({"t2"}), (_TEMP, 4, "second probe")),
    "202": (frozenset({"td"}), ("", 0, "a difference of two temperatures")),
    "213": (frozenset({"tb"}), (_TEMP, 5, "blood temperature")),
    "250": (frozenset({"etco2", "co2et"}), (_CO2, 0, "")),
    "252": (frozenset({"awrr"}), (_RESP, 1, "airway")),
    "280": (frozenset({"awrrag", "awrr"}), (_RESP, 1, "airway")),
    "600": (frozenset({"pr"}), ("", 0, "pulse of an arterial line")),
    **{
        str(code): (frozenset(_MINDRAY_INVASIVE), ("", 0, "an invasive pressure")) for code in range(500, 560)
    },
}

_UNNAMED = "a blood pressure of an unnamed place, taken as the cuff's"
_LINE: Row = ("", 0, "an arterial line pressure")

# Plain names of senders that use no nomenclature, reduced to letters and digits. A bare "Sys", "Mean" or "T"
# is not here: an arterial line and a pulmonary artery call theirs so too.
_NAME_ROWS: tuple[tuple[Row, str], ...] = (
    ((_HEART, 1, ""), "hr heartrate ecghr hrecg ekghr hrekg heartrateecg ecgheartrate hrpulse bthr"),
    (
        (_PULSE, 1, ""),
        "pr pulse pulserate spo2pr prspo2 spo2pulse pulsespo2 pulseoximeterrate spo2pulserate pls",
    ),
    ((_PULSE, 1, ""), "spo2rate plethrate plethpulserate spo2hr prpleth pulseoximetryrate spo2r plspo2"),
    ((_PULSE, 3, "not averaged"), "rprspo2"),
    ((_CUFF_PULSE, 1, ""), "nibppr prnibp nbppr prnbp nibppulse nibppulserate pulsenibp pulsenbp nbppulse"),
    ((_CUFF_PULSE, 1, ""), "nibphr nibprate cuffpulse cuffpulserate nbprate nbphr"),
    (
        (_SYS, 1, ""),
        "nibpsys nibps nibpsystolic nbps nbpsys nbpsystolic nibpsbp systolicnibp nibpsysto sysnibp",
    ),
    (
        (_SYS, 1, ""),
        "noninvasivesystolic noninvsys cuffsystolic cuffsys bpsnibp nibphigh nibpsystolicpressure",
    ),
    (
        (_SYS, 1, ""),
        "noninvasivesystolicbloodpressure noninvasivebloodpressuresystolic nibpsyst sbpnibp nibpsysbp",
    ),
    (
        (_SYS, 2, _UNNAMED),
        "systolicbloodpressure bloodpressuresystolic bpsystolic bpsys systolicbp systolic sbp bphigh",
    ),
    ((_SYS, 2, _UNNAMED), "highpressure bloodpressurehigh systolicpressure"),
    ((_DIA, 1, ""), "nibpdia nibpd nibpdiastolic nbpd nbpdia nbpdiastolic nibpdbp diastolicnibp nibpdiasto"),
    ((_DIA, 1, ""), "dianibp noninvasivediastolic noninvdia cuffdiastolic cuffdia nibplow nibpdias nbpdias"),
    ((_DIA, 1, ""), "nibpdiastolicpressure noninvasivediastolicbloodpressure dbpnibp noninvdias"),
    ((_DIA, 1, ""), "noninvasivebloodpressurediastolic"),
    (
        (_DIA, 2, _UNNAMED),
        "diastolicbloodpressure bloodpressurediastolic bpdiastolic bpdia diastolicbp diastolic dbp bplow",
    ),
    ((_DIA, 2, _UNNAMED), "lowpressure bloodpressurelow diastolicpressure"),
    (
        (_MEAN, 1, ""),
        "nibpmean nibpm nibpmap nbpm nbpmean nbpmap mapnibp meannibp noninvasivemean noninvmean",
    ),
    ((_MEAN, 1, ""), "cuffmean cuffmap nibpmeanpressure noninvasivemeanbloodpressure"),
    ((_MEAN, 2, _UNNAMED), "meanbloodpressure bloodpressuremean bpmean map meanarterialpressure"),
    ((_PANEL, 1, ""), "nibp nbp noninvasivebloodpressure bloodpressurenoninvasive"),
    ((_PANEL, 2, _UNNAMED), "bp bloodpressure"),
    ((_SPO2, 1, ""), "spo2 spo₂ %spo2 spo2% spo2sat spo2saturation pulseox oxygensaturationspo2 spo2value"),
    ((_SPO2, 1, ""), "o2satpulseox spo21 pulseoximetry oxygensaturationbypulseoximetry sp02"),
    ((_SPO2, 2, "second probe"), "spo22"),
    ((_PI, 1, ""), "pi perf perfusionindex spo2pi pispo2 perfindex"),
    ((_RESP, 2, ""), "rr resp respiration resprate respirationrate respiratoryrate breathingrate rrimp rri"),
    ((_RESP, 1, "airway"), "awrr co2rr rrco2 respco2 co2resprate airwayresprate rrc"),
    ((_CO2, 1, ""), "etco2 co2et endtidalco2 etco2mmhg co2ex co2exp"),
    ((_TEMP, 1, ""), "temp t1 temp1 temperature bodytemp bodytemperature tcore coretemp tempcore oraltemp"),
    ((_TEMP, 1, ""), "tempbody temperature1 trect tesoph tnaso ttymp speedytemp tempt1 tempc"),
    ((_TEMP, 4, "second probe"), "t2 temp2 temperature2 tempt2"),
    (("", 0, "a skin temperature"), "tskin skintemp skintemperature tempskin"),
    (_LINE, "artsys artdia artmean abpsys abpdia abpmean abps abpd abpm arts artd artm ibpsys ibpdia"),
    (_LINE, "ibpmean ibp1sys ibp1dia ibp1mean p1sys p1dia p1mean ar1s ar1d ar1m ibps ibpd ibpm artsystolic"),
    (_LINE, "artdiastolic arterialsystolic arterialdiastolic arterialmean"),
    (("", 0, "a central venous pressure"), "cvp cvpmean cvpm"),
)
# What lines and probes inside the body are called: a pressure or a pulse of such a name is not the cuff's.
CHANNELS = frozenset("p1 p2 p3 p4 p5 p6 p7 p8".split())
LINES = CHANNELS | frozenset(
    "ibp art abp fabp invasive arterialline artline pap pa cvp icp lap rap uap uvp bap fap lvp ao aop aortic"
    " pulmonary pulmonaryartery centralvenous intracranial ibp1 ibp2 ibp3 ibp4 art1 art2 icp1 icp2".split()
)
HL7_NAMES: dict[str, Row] = {name: row for row, names in _NAME_ROWS for name in names.split()}
