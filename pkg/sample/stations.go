package sample

import (
	"strings"

	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/timetable"
)

// cities: code, name, pinyin, initials, English, Korean. The code is the telecode of the station that bears the city's name,
// also where no train of the sample calls at it (Wenzhou, Yichang).
const cities = `
BJP 北京 beijing bj Beijing 베이징
TJP 天津 tianjin tj Tianjin 톈진
SJP 石家庄 shijiazhuang sjz Shijiazhuang 스자좡
TYV 太原 taiyuan ty Taiyuan 타이위안
SYT 沈阳 shenyang sy Shenyang 선양
DLT 大连 dalian dl Dalian 다롄
CCT 长春 changchun cc Changchun 창춘
HBB 哈尔滨 haerbin heb Harbin 하얼빈
QTP 秦皇岛 qinhuangdao qhd Qinhuangdao 친황다오
SHH 上海 shanghai sh Shanghai 상하이
NJH 南京 nanjing nj Nanjing 난징
SZH 苏州 suzhou sz Suzhou 쑤저우
WXH 无锡 wuxi wx Wuxi 우시
XCH 徐州 xuzhou xz Xuzhou 쉬저우
HZH 杭州 hangzhou hz Hangzhou 항저우
NGH 宁波 ningbo nb Ningbo 닝보
JBH 金华 jinhua jh Jinhua 진화
RZH 温州 wenzhou wz Wenzhou 원저우
HFH 合肥 hefei hf Hefei 허페이
BBH 蚌埠 bengbu bb Bengbu 벙부
FZS 福州 fuzhou fz Fuzhou 푸저우
XMS 厦门 xiamen xm Xiamen 샤먼
NCG 南昌 nanchang nc Nanchang 난창
JNK 济南 jinan jn Jinan 지난
QDK 青岛 qingdao qd Qingdao 칭다오
ZZF 郑州 zhengzhou zz Zhengzhou 정저우
LYF 洛阳 luoyang ly Luoyang 뤄양
WHN 武汉 wuhan wh Wuhan 우한
YCN 宜昌 yichang yc Yichang 이창
CSQ 长沙 changsha cs Changsha 창사
HYQ 衡阳 hengyang hy Hengyang 헝양
GZQ 广州 guangzhou gz Guangzhou 광저우
SZQ 深圳 shenzhen sz Shenzhen 선전
NNZ 南宁 nanning nn Nanning 난닝
GLZ 桂林 guilin gl Guilin 구이린
CQW 重庆 chongqing cq Chongqing 충칭
CDW 成都 chengdu cd Chengdu 청두
GIW 贵阳 guiyang gy Guiyang 구이양
KMM 昆明 kunming km Kunming 쿤밍
XAY 西安 xian xa Xi'an 시안
BJY 宝鸡 baoji bj Baoji 바오지
LZJ 兰州 lanzhou lz Lanzhou 란저우
XNO 西宁 xining xn Xining 시닝
WAR 乌鲁木齐 wulumuqi wlmq Urumqi 우루무치
`

// stations: code, city, and what its name adds to the city's: nothing, a side of the city, or a name of its own.
const stations = `
BJP BJP
VNP BJP 南
BXP BJP 西
TJP TJP
TIP TJP 南
TXP TJP 西
SJP SJP
TYV TYV
TNV TYV 南
SYT SYT
SBT SYT 北
DLT DLT
DFT DLT 北
CCT CCT
CRT CCT 西
HBB HBB
VAB HBB 西
QTP QTP
SHH SHH
AOH SHH 上海虹桥 shanghaihongqiao shhq Shanghai_Hongqiao 상하이_훙차오
SNH SHH 南
NJH NJH
NKH NJH 南
SZH SZH
WXH WXH
XCH XCH
UUH XCH 东
HZH HZH
HGH HZH 东
NGH NGH
JBH JBH
VRH RZH 南
ENH HFH 南
HFH HFH
BBH BBH
BMH BBH 南
FYS FZS 南
FZS FZS
XKS XMS 北
XMS XMS
NCG NCG
NXG NCG 西
JNK JNK
JGK JNK 西
QDK QDK
ZZF ZZF
ZAF ZZF 东
LYF LYF
LLF LYF 洛阳龙门 luoyanglongmen lylm Luoyang_Longmen 뤄양_룽먼
WHN WHN
WCN WHN 武昌 wuchang wc Wuchang 우창
HKN WHN 汉口 hankou hk Hankou 한커우
HAN YCN 东
CSQ CSQ
CWQ CSQ 南
HYQ HYQ
HVQ HYQ 东
GZQ GZQ
IZQ GZQ 南
SZQ SZQ
IOQ SZQ 北
NNZ NNZ
NFZ NNZ 东
GLZ GLZ
GBZ GLZ 北
CUW CQW 北
CXW CQW 西
CQW CQW
CDW CDW
ICW CDW 东
GIW GIW
KQW GIW 北
KMM KMM
KOM KMM 南
XAY XAY
EAY XAY 北
BJY BJY
BBY BJY 南
LZJ LZJ
LAJ LZJ 西
XNO XNO
WAR WAR
`

// sides of a city in the languages of a name.
var sides = map[string]struct{ pinyin, initial, english, korean string }{
	"东": {"dong", "d", "East", "동"}, "南": {"nan", "n", "South", "남"}, "西": {"xi", "x", "West", "서"}, "北": {"bei", "b", "North", "북"},
}

// names reads the six columns of a name, the first of which is a code.
func names(f []string) timetable.Names {
	spaced := func(s string) string { return strings.ReplaceAll(s, "_", " ") }
	return timetable.Names{Name: f[1], Pinyin: f[2], Initials: f[3], Other: map[string]string{"en": spaced(f[4]), "ko": spaced(f[5])}}
}

// network is the stations and cities of the tables above.
func network(saleDays int) timetable.Network {
	n := timetable.Network{Timezone: "Asia/Shanghai", Currency: "CNY", SaleDays: saleDays}
	byCode := map[string]timetable.Names{}
	for _, line := range lines(cities) {
		f := strings.Fields(line)
		byCode[f[0]] = names(f)
		n.Cities = append(n.Cities, timetable.City{Code: rail.CityCode(f[0]), Names: byCode[f[0]]})
	}
	for _, line := range lines(stations) {
		f := strings.Fields(line)
		n.Stations = append(n.Stations, timetable.Station{Code: rail.StationCode(f[0]), City: rail.CityCode(f[1]), Names: stationNames(f, byCode[f[1]])})
	}
	return n
}

func stationNames(f []string, city timetable.Names) timetable.Names {
	switch {
	case len(f) == 2:
		return city
	case len(f) == 3:
		side := sides[f[2]]
		return timetable.Names{
			Name: city.Name + f[2], Pinyin: city.Pinyin + side.pinyin, Initials: city.Initials + side.initial,
			Other: map[string]string{"en": city.Other["en"] + " " + side.english, "ko": city.Other["ko"] + " " + side.korean},
		}
	default:
		return names(f[1:])
	}
}

func lines(table string) []string { return strings.Split(strings.TrimSpace(table), "\n") }
