package render

import (
	"github.com/yupiao/yupiao/pkg/rail"
	"github.com/yupiao/yupiao/pkg/view"
)

// texts are the reasons in English, Chinese and Korean. English is also what a caller without a language reads.
var texts = map[view.ReasonKind][3]string{
	view.AllSold:         {"all places are sold", "已售完", "매진"},
	view.WaitlistOpen:    {"all places are sold; a waiting list is open", "已售完，可候补", "매진, 예약 대기 가능"},
	view.NotOpenYet:      {"the sale opens at ", "起售时间 ", "예매 시작 "},
	view.SaleClosed:      {"the sale has closed before departure", "开车前已停止售票", "출발 전 판매 마감"},
	view.HasDeparted:     {"the train has left this stop", "列车已从本站开出", "열차가 이미 출발했습니다"},
	view.SaleSuspended:   {"the sale is suspended", "暂停发售", "판매 중지"},
	view.QuotaForbids:    {"no quota allows this section", "该区间暂无票额", "이 구간에 배정된 좌석이 없습니다"},
	view.ClassNotOffered: {"not offered on this section", "该区间不发售此席别", "이 구간에서는 판매하지 않습니다"},
	view.NotVouchedFor:   {"the number is being checked", "余票核对中", "잔여 좌석 확인 중"},
}

var behindTexts = [3]string{"an update of this train is missing; the numbers may be old", "该车次数据更新延迟，余票可能不是最新", "이 열차의 정보 갱신이 지연되어 잔여석이 최신이 아닐 수 있습니다"}

func column(lang rail.Lang) int {
	switch lang {
	case rail.Chinese:
		return 1
	case rail.Korean:
		return 2
	default:
		return 0
	}
}

func behindText(lang rail.Lang) string { return behindTexts[column(lang)] }

// Reason is a reason as a traveller reads it; empty for NoReason.
func (p Printer) Reason(r view.Reason) string {
	text := texts[r.Kind][column(p.Lang)]
	switch {
	case r.Kind == view.NotOpenYet:
		return text + r.At.In(p.Index.Location()).Format("2006-01-02 15:04")
	case r.Kind == view.SaleSuspended && r.Notice != "":
		return text + ": " + r.Notice
	default:
		return text
	}
}
