package sample

import "github.com/yupiao/yupiao/pkg/rail"

// corridors are lines as passengers think of them: stations with their distance from the first in kilometres, about. A star marks where express
// trains call.
var corridors = map[string]string{
	// High-speed lines.
	"beijing-shanghai":   "VNP* 0, TIP 122, JGK* 406, UUH* 692, BMH 848, NKH* 1023, AOH* 1318",
	"beijing-shenzhen":   "BXP* 0, SJP* 281, ZAF* 693, WHN* 1229, CWQ* 1591, HVQ 1768, IZQ* 2298, IOQ* 2400",
	"shanghai-kunming":   "AOH* 0, HGH* 169, JBH 340, NXG* 751, CWQ* 1095, KQW* 1801, KOM* 2252",
	"shanghai-chengdu":   "AOH* 0, NKH* 295, ENH* 452, HKN* 811, HAN 1103, CUW* 1660, ICW* 1970",
	"beijing-harbin":     "BJP* 0, QTP 315, SBT* 700, CRT* 990, VAB* 1230",
	"harbin-dalian":      "VAB* 0, CRT* 240, SBT* 530, DFT* 904",
	"shanghai-xian":      "AOH* 0, NKH* 295, UUH* 626, ZAF* 988, LLF 1126, EAY* 1505",
	"xuzhou-lanzhou":     "UUH* 0, ZAF* 362, LLF 500, EAY* 879, BBY 1010, LAJ* 1447, XNO* 1635",
	"hangzhou-shenzhen":  "HGH* 0, NGH* 155, VRH 420, FYS* 740, XKS* 960, IOQ* 1470",
	"xian-chengdu":       "EAY* 0, ICW* 643, CUW* 951",
	"chengdu-shenzhen":   "ICW* 0, KQW* 632, GBZ 1062, IZQ* 1489, IOQ* 1591",
	"chongqing-shenzhen": "CXW* 0, KQW* 345, GBZ 775, IZQ* 1202, IOQ* 1304",
	"nanning-changsha":   "NFZ* 0, GBZ* 370, HVQ 700, CWQ* 880",
	"nanning-guangzhou":  "NFZ* 0, IZQ* 577",
	"beijing-qingdao":    "VNP* 0, TIP 122, JGK* 406, QDK* 805",
	"beijing-taiyuan":    "BXP* 0, SJP* 281, TNV* 508",
	"beijing-xian":       "BXP* 0, SJP* 281, ZAF* 693, LLF 831, EAY* 1212",
	"wuhan-fuzhou":       "WHN* 0, NXG* 380, FZS* 930, XMS* 1190",
	"beijing-hangzhou":   "VNP* 0, TIP* 122, JGK* 406, NKH* 1023, HGH* 1279",
	"tianjin-shenzhen":   "TXP* 0, SJP* 289, ZAF* 701, WHN* 1237, CWQ* 1599, IZQ* 2306, IOQ* 2408",
	"tianjin-chongqing":  "TXP* 0, SJP* 289, ZAF* 701, LLF 839, EAY* 1220, ICW* 1863, CUW* 2171",
	"xian-shenzhen":      "EAY* 0, LLF 381, ZAF* 519, WHN* 1055, CWQ* 1417, HVQ 1594, IZQ* 2124, IOQ* 2226",
	"hangzhou-xian":      "HGH* 0, NKH* 256, UUH* 587, ZAF* 949, LLF 1087, EAY* 1466",
	"hangzhou-chengdu":   "HGH* 0, NKH* 256, ENH* 413, HKN* 772, HAN 1064, CUW* 1621, ICW* 1931",
	"shanghai-shenzhen":  "AOH* 0, HGH* 169, NXG* 751, CWQ* 1095, HVQ 1272, IZQ* 1802, IOQ* 1904",
	"nanjing-shenzhen":   "NKH* 0, HGH* 256, JBH 427, NXG* 838, CWQ* 1182, IZQ* 1889, IOQ* 1991",
	"beijing-tianjin":    "VNP* 0, TJP* 120",
	"shanghai-nanjing":   "SHH* 0, SZH* 84, WXH 126, NJH* 301",
	"shanghai-hangzhou":  "AOH* 0, HGH* 169",
	"guangzhou-shenzhen": "IZQ* 0, IOQ* 102",
	"chengdu-chongqing":  "ICW* 0, CUW* 308",
	"excursion":          "IZQ* 0, IOQ* 102, IZQ* 204",
	// Classic lines.
	"k-beijing-guangzhou":  "BXP* 0, SJP 277, ZZF* 689, WCN* 1225, CSQ* 1587, HYQ 1773, GZQ* 2294, SZQ* 2441",
	"k-beijing-shanghai":   "BJP* 0, TJP* 137, JNK* 494, XCH* 814, BBH 979, NJH* 1160, SZH 1379, SHH* 1463",
	"k-shanghai-urumqi":    "SHH* 0, NJH* 301, XCH* 647, ZZF* 996, LYF 1120, XAY* 1509, BJY 1682, LZJ* 2185, WAR* 4077",
	"k-beijing-urumqi":     "BXP* 0, SJP 277, TYV* 508, XAY* 1159, BJY 1332, LZJ* 1835, WAR* 3727",
	"k-beijing-harbin":     "BJP* 0, QTP 315, SYT* 741, CCT* 1046, HBB* 1288",
	"k-beijing-chengdu":    "BXP* 0, SJP 277, ZZF* 689, XAY* 1200, BJY 1373, CDW* 2042",
	"k-beijing-chongqing":  "BXP* 0, SJP 277, ZZF* 689, WCN* 1225, CQW* 2090",
	"k-shanghai-kunming":   "SNH* 0, HZH* 190, JBH 364, NCG* 826, CSQ* 1180, GIW* 2010, KMM* 2660",
	"k-shanghai-guangzhou": "SHH* 0, HZH* 201, JBH 375, NCG* 837, CSQ* 1191, HYQ 1377, GZQ* 1898",
	"k-beijing-nanning":    "BXP* 0, ZZF* 689, WCN* 1225, CSQ* 1587, HYQ 1773, GLZ* 2134, NNZ* 2565",
	"k-dalian-harbin":      "DLT* 0, SYT* 397, CCT* 702, HBB* 944",
	"k-qingdao-lanzhou":    "QDK* 0, JNK* 393, XCH* 710, ZZF* 1059, XAY* 1570, LZJ* 2246, XNO* 2440",
	"k-hefei-fuzhou":       "HFH* 0, NCG* 470, FZS* 1020, XMS* 1290",
}

// calls says where the trains of a service call.
type calls int

const (
	express    calls = iota // at the starred stations
	everywhere              // at all
	mixed                   // at the starred ones, every other train at the others too
)

// service is the trains of one kind on a corridor. There are as many each way, spread evenly between the first and the last departure.
type service struct {
	corridor string
	letter   string
	// number of the first train: odd away from the corridor's first station, the next even one back; of four with renumberAt.
	number int
	daily  int
	first  rail.Minutes
	last   rail.Minutes
	kmh    float64 // between stops
	dwell  rail.Minutes
	calls  calls
	// weekdays on which it runs, Sunday first, as "0000011"; empty for all.
	weekdays string
	// renumberAt is a station where trains turn from up (even, towards Beijing) to down (odd), or on the way back from down to up, and so carry
	// another number from there on; empty for none.
	renumberAt rail.StationCode
}

// services are all trains of the sample: about 600 a day.
var services = []service{
	{"beijing-shanghai", "G", 1, 12, 7 * 60, 19 * 60, 300, 2, express, "", ""},
	{"beijing-shanghai", "G", 101, 18, 6*60 + 20, 18*60 + 30, 275, 2, mixed, "", ""},
	{"beijing-shenzhen", "G", 71, 12, 6*60 + 40, 14 * 60, 290, 3, express, "", ""},
	{"beijing-shenzhen", "G", 501, 9, 7 * 60, 13 * 60, 270, 3, everywhere, "", ""},
	{"shanghai-kunming", "G", 1321, 10, 6*60 + 30, 13 * 60, 275, 3, mixed, "", ""},
	{"shanghai-chengdu", "D", 351, 10, 6*60 + 10, 12 * 60, 190, 3, mixed, "", ""},
	{"beijing-harbin", "G", 901, 11, 6*60 + 15, 17 * 60, 260, 2, mixed, "", ""},
	{"harbin-dalian", "G", 701, 10, 6*60 + 30, 19 * 60, 265, 2, express, "", ""},
	{"shanghai-xian", "G", 1911, 11, 7 * 60, 15*60 + 30, 270, 3, mixed, "", "UUH"},
	{"xuzhou-lanzhou", "G", 811, 10, 7 * 60, 15 * 60, 250, 3, everywhere, "", ""},
	{"hangzhou-shenzhen", "D", 3101, 12, 6*60 + 40, 15*60 + 30, 190, 3, mixed, "", ""},
	{"xian-chengdu", "G", 2201, 9, 7 * 60, 19 * 60, 215, 2, express, "", ""},
	{"chengdu-shenzhen", "G", 2951, 8, 7 * 60, 15 * 60, 230, 3, mixed, "", ""},
	{"chongqing-shenzhen", "G", 2931, 3, 7*60 + 30, 16 * 60, 225, 3, mixed, "", ""},
	{"nanning-changsha", "G", 1501, 8, 7*60 + 30, 17 * 60, 220, 3, everywhere, "", ""},
	{"nanning-guangzhou", "D", 3601, 9, 7 * 60, 20 * 60, 185, 2, express, "", ""},
	{"beijing-qingdao", "G", 191, 8, 7 * 60, 18 * 60, 245, 2, mixed, "", ""},
	{"beijing-taiyuan", "D", 2001, 10, 7 * 60, 20 * 60, 200, 2, express, "", ""},
	{"beijing-xian", "G", 651, 10, 7 * 60, 18 * 60, 275, 2, mixed, "", ""},
	{"wuhan-fuzhou", "D", 3261, 8, 7 * 60, 16 * 60, 180, 3, express, "", ""},
	{"beijing-hangzhou", "G", 31, 3, 7*60 + 10, 17 * 60, 285, 2, express, "", ""},
	{"tianjin-shenzhen", "G", 1701, 2, 7 * 60, 11 * 60, 275, 3, express, "", ""},
	{"tianjin-chongqing", "G", 1741, 2, 7*60 + 20, 12 * 60, 240, 3, mixed, "", ""},
	{"xian-shenzhen", "G", 871, 3, 7*60 + 40, 13 * 60, 265, 3, mixed, "", ""},
	{"hangzhou-xian", "G", 1885, 2, 7*60 + 30, 14 * 60, 260, 3, mixed, "", "UUH"},
	{"hangzhou-chengdu", "D", 651, 2, 6*60 + 40, 10 * 60, 190, 3, mixed, "", ""},
	{"shanghai-shenzhen", "G", 99, 1, 7*60 + 20, 7*60 + 20, 270, 3, express, "", ""},
	{"shanghai-shenzhen", "G", 1301, 2, 8 * 60, 13 * 60, 265, 3, mixed, "", ""},
	{"nanjing-shenzhen", "G", 1121, 2, 7*60 + 50, 13 * 60, 260, 3, mixed, "", ""},
	{"beijing-tianjin", "C", 2001, 14, 6 * 60, 22*60 + 30, 260, 0, express, "", ""},
	{"shanghai-nanjing", "G", 7001, 12, 6 * 60, 21 * 60, 220, 2, mixed, "", ""},
	{"shanghai-hangzhou", "G", 7301, 10, 6*60 + 10, 21*60 + 30, 250, 0, express, "", ""},
	{"guangzhou-shenzhen", "C", 6701, 12, 6*60 + 10, 22 * 60, 230, 0, express, "", ""},
	{"chengdu-chongqing", "C", 6001, 10, 6*60 + 30, 21 * 60, 240, 0, express, "", ""},
	{"excursion", "C", 6991, 1, 9 * 60, 9 * 60, 200, 20, express, "1000001", ""},
	{"beijing-shanghai", "G", 9001, 3, 16 * 60, 19 * 60, 285, 2, express, "1000010", ""},
	{"shanghai-hangzhou", "G", 9301, 3, 17 * 60, 20 * 60, 250, 0, express, "1000010", ""},
	{"k-beijing-guangzhou", "Z", 35, 4, 16 * 60, 21 * 60, 110, 6, express, "", ""},
	{"k-beijing-guangzhou", "K", 105, 5, 6*60 + 30, 23 * 60, 85, 8, everywhere, "", ""},
	{"k-beijing-shanghai", "Z", 281, 2, 19 * 60, 20 * 60, 110, 6, express, "", ""},
	{"k-beijing-shanghai", "K", 1461, 4, 8 * 60, 22 * 60, 85, 8, everywhere, "", ""},
	{"k-shanghai-urumqi", "Z", 241, 2, 8*60 + 30, 18 * 60, 105, 10, mixed, "", ""},
	{"k-beijing-urumqi", "Z", 69, 2, 10 * 60, 15 * 60, 105, 12, mixed, "", ""},
	{"k-beijing-harbin", "Z", 15, 3, 20 * 60, 22 * 60, 115, 6, express, "", ""},
	{"k-beijing-harbin", "K", 1301, 3, 7 * 60, 18 * 60, 85, 8, everywhere, "", ""},
	{"k-beijing-chengdu", "Z", 49, 3, 9 * 60, 20 * 60, 95, 8, mixed, "", ""},
	{"k-beijing-chongqing", "Z", 3, 2, 14 * 60, 19 * 60, 100, 8, express, "", ""},
	{"k-shanghai-kunming", "K", 79, 3, 9 * 60, 21 * 60, 85, 9, everywhere, "", ""},
	{"k-shanghai-guangzhou", "Z", 99, 3, 15 * 60, 20 * 60, 105, 7, mixed, "", ""},
	{"k-beijing-nanning", "Z", 285, 2, 15 * 60, 17 * 60, 100, 8, mixed, "", ""},
	{"k-dalian-harbin", "K", 1021, 4, 7 * 60, 21 * 60, 85, 8, everywhere, "", ""},
	{"k-qingdao-lanzhou", "K", 171, 3, 10 * 60, 20 * 60, 80, 9, everywhere, "", ""},
	{"k-hefei-fuzhou", "K", 301, 3, 12 * 60, 21 * 60, 80, 8, everywhere, "", ""},
	{"k-shanghai-guangzhou", "T", 169, 2, 17 * 60, 19 * 60, 95, 8, everywhere, "0100100", ""},
}
