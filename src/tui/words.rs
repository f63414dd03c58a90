//! What the screens say, in each language. A word without one of them does not compile.

use crate::lang::Lang;

macro_rules! words {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// Something that a screen says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Word { $($name),* }

        impl Word {
            /// In a language.
            pub const fn say(self, lang: Lang) -> &'static str {
                match (self, lang) {
                    $((Self::$name, Lang::En) => $en, (Self::$name, Lang::Zh) => $zh,)*
                }
            }

            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

words! {
    KeyDown: "next event", "下一条";
    KeyUp: "previous event", "上一条";
    KeyPageDown: "a screen down", "下一屏";
    KeyPageUp: "a screen up", "上一屏";
    KeyFirst: "oldest event", "最早一条";
    KeyFollow: "newest, and follow", "最新一条并跟随";
    KeyTwin: "same on other rail", "另一轨的同一内容";
    KeyDetail: "how it was decided", "判定路径";
    KeyMove: "choose", "选择";
    KeyFilter: "filter", "筛选";
    KeyPause: "hold the picture", "暂停画面";
    KeyNext: "start the next act", "开始下一幕";
    KeyExport: "write to a file", "导出到文件";
    KeyCopy: "copy the event id", "复制事件 ID";
    KeyTheme: "next theme", "切换主题";
    KeyHelp: "help", "帮助";
    KeyBack: "close, clear", "关闭、清除";
    KeyQuit: "leave", "退出";

    Help: "Keys", "按键";
    FilterHelp: "Filter: rail:ark verdict:deny tool:memory.*", "筛选：rail:ark verdict:deny tool:memory.*";
    FilterMore: "        ns:travel reason:cap since:5m seq:40 !word", "      ns:travel reason:cap since:5m seq:40 !词";
    Enlarge: "Please make this window at least 60 by 15; it is", "请把窗口放大到至少 60 列 15 行；现在是";
    Ago: " ago", "前";
    Seconds: "s", "秒";
    Minutes: "min", "分钟";
    Hours: "h", "小时";
    Days: "d", "天";
    Waiting: "Waiting for events. Whatever this actor's hosts do shows up here.", "等待事件。该主体的任何调用都会立即出现在这里。";
    NothingMatches: "Nothing matches the filter; Esc clears it.", "没有符合筛选条件的事件；按 Esc 清除筛选。";
    Log: "log", "日志";
    Root: "root", "根";
    NotSealed: "not sealed yet", "尚未封存";
    Sealed: "sealed", "封存于";
    NotOnAChain: "not on a chain", "未上链";
    NextAnchor: "next anchor in", "下次上链";
    OnChain: "on a chain up to", "已上链至";
    ToFile: "to a file", "写入文件";
    Held: "held", "已暂停";
    New: "new", "条新事件";
    Dropped: "older ones let go", "条较早事件已移出";
    Cut: "cut off", "事件流中断";
    SameContent: "same content", "内容相同";
    ReadsHidden: "reads of the log hidden (Esc shows)", "已隐藏对日志的读取（Esc 显示）";
    StandIn: "stand-in, scripted model", "替身（脚本模型）";
    NextStep: "next", "下一步";
    PutBack: "everything is back", "已恢复原状";
    Exported: "written to", "已导出到";
    NotExported: "not written", "导出失败";
    Copied: "id handed to the terminal", "ID 已复制到终端";
    NoTwin: "no event with the same content on the other rail", "另一轨没有相同内容的事件";
    NotUnderstood: "not understood:", "无法理解：";
    Instead: "could be", "可用：";

    Caller: "caller", "调用方";
    Binding: "binding", "授权绑定";
    Policy: "policy", "策略";
    Cap: "cap", "能力凭证";
    Object: "object", "对象";
    AuditRow: "row", "审计行";
    Proof: "proof", "证明";
    NoCap: "none needed", "不需要";
    NoPolicy: "none asked", "未涉及";
    NoObject: "none touched", "未涉及";
    NoBinding: "none", "无";
    Proved: "in the signed tree, checked here", "在已签名的树中，本机已验证";
    ProvedThere: "a row at this place is in the signed tree; its text is the server's word", "该位置的记录在已签名的树中；其文字以服务器所述为准";
    NoProof: "could not be asked for", "无法取得";
    NotProved: "does not verify", "验证不通过";
    ProofSoon: "not sealed yet: it comes with the next checkpoint", "尚未封存，下个检查点后可证明";
    ProofComing: "asking …", "查询中……";

    CrossRail: "Cross-rail proof", "跨轨证明";
    ThreeActs: "Three acts", "三幕演示";
    ActTwo: "act 2", "第二幕";
    ActThree: "act 3", "第三幕";
    PuttingBack: "putting everything back …", "正在恢复原状……";
    Observed: "every step was caused by the device and the agent themselves", "每一步都由真实设备与真实智能体触发";
    Running: "running", "进行中";
    Observing: "watching", "观察中";
    PressNext: "press n for", "按 n 开始";
    Passed: "proved", "已证明";
    Failed: "NOT PROVED", "未能证明";
    Expected: "expected", "期望";
    Got: "got", "实际";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_unsaid() {
        for word in Word::ALL {
            let (en, zh) = (word.say(Lang::En), word.say(Lang::Zh));
            assert!(!en.is_empty() && !zh.is_empty(), "{word:?}");
            assert!(en.is_ascii() || en.contains('…'), "{word:?}");
            assert!(zh.chars().any(|c| c as u32 > 0x2e80), "{word:?}");
        }
    }
}
