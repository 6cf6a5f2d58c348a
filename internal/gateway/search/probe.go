package search

import (
	"context"
	"unicode/utf8"
)

// Models that know English alone give texts in Japanese vectors, too, and they mean nothing:
// joined with the ranking by words they would spoil it. So a model is asked once, with
// sentences and their translations, whether it knows that language.
var (
	probeEnglish = [...]string{
		"Tell me tomorrow's weather", "Schedule a meeting", "Send an email", "Create an invoice", "Delete a file", "Translate into English",
		"Restart the server", "Book a hotel", "Search for employees", "Track a parcel", "Play music", "Take a photo",
	}
	probeJapanese = [...]string{
		"明日の天気を教えて", "会議の予定を入れる", "メールを送る", "請求書を作成する", "ファイルを削除する", "英語に翻訳する",
		"サーバーを再起動する", "ホテルを予約する", "社員を検索する", "荷物を追跡する", "音楽を再生する", "写真を撮る",
	}
)

// knowsJapanese reports whether most of the sentences are nearest to their own translations.
func knowsJapanese(ctx context.Context, embed func(context.Context, []string) ([]vector, error)) (bool, error) {
	english, err := embed(ctx, probeEnglish[:])
	if err != nil {
		return false, err
	}
	japanese, err := embed(ctx, probeJapanese[:])
	if err != nil {
		return false, err
	}
	right := 0
	for i, v := range japanese {
		if best := nearest(v, english); len(best) > 0 && best[0] == i {
			right++
		}
	}
	return right > len(japanese)/2, nil
}

// mostlyUnspaced reports whether a query is rather in Chinese, Japanese or Korean: a third of
// its letters are, since names stay as they are in all languages.
func mostlyUnspaced(query string) bool {
	all, some := 0, 0
	for _, t := range tokens(query) {
		n := utf8.RuneCountInString(t.text)
		all += n
		if t.run {
			some += n
		}
	}
	return some > 0 && 3*some >= all
}
