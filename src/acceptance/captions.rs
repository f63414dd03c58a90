//! What the demos say to whoever watches, in the languages they can say it in. Every text of a
//! demo's plain form is here, but for what was expected and found in a step that failed.

use crate::lang::Lang;

/// What a step does or proves.
struct Caption {
    id: &'static str,
    en: &'static str,
    zh: &'static str,
}

const fn of(id: &'static str, en: &'static str, zh: &'static str) -> Caption {
    Caption { id, en, zh }
}

#[rustfmt::skip]
const CAPTIONS: &[Caption] = &[
    of("setup",
        "a server, an actor, two vendors with their own tokens and consent",
        "准备就绪：一台服务器、一个身份、两家各持令牌与授权的厂商"),
    of("rail1.write",
        "a host like xiaozhi-server asks who it acts for, and writes a memory",
        "一个与 xiaozhi-server 行为一致的宿主先问清自己代表谁，再写入一条记忆"),
    of("rail2.read",
        "an agent behind Ark's API is asked about the trip, and reads it",
        "方舟 API 背后的智能体被问到行程，于是读取这条记忆"),
    of("audit.read",
        "an auditor reads what both did",
        "审计员查看双方的全部操作"),
    of("restore",
        "the memory is put back as it was",
        "把记忆恢复原样"),
    of("rail1.whoami_is_the_actor",
        "the first host was told the right actor",
        "第一个宿主得到的身份正确无误"),
    of("identity.derivation",
        "the actor's id recomputes from its parent and label",
        "身份 ID 可由上级节点和标签重新推算得出"),
    of("rail1.put_accepted",
        "the write was accepted and versioned",
        "写入获准，并生成新版本"),
    of("rail2.tools_listed",
        "the second host found the tools by itself",
        "第二个宿主自行发现了全部工具"),
    of("rail2.bytes_equal",
        "byte for byte what was written, through another host",
        "换一个宿主读回，与写入的内容逐字节一致"),
    of("audit.rail1_whoami_row",
        "the question is on record, once",
        "身份查询已记录在案，有且只有一条"),
    of("audit.rail1_put_row",
        "the write is on record, once",
        "写入已记录在案，有且只有一条"),
    of("audit.rail2_get_row",
        "the read is on record, once",
        "读取已记录在案，有且只有一条"),
    of("audit.same_actor_omni",
        "both hosts' rows have the same actor_omni",
        "两个宿主的记录指向同一个 actor_omni"),
    of("audit.rails_and_vendors",
        "each row names its own rail and vendor",
        "每条记录都写明各自的轨道和厂商"),
    of("audit.same_content_tag",
        "the same content: the tags are equal, and a tag does not reveal it",
        "标签证明内容相同，却不透露内容本身"),
    of("audit.same_version",
        "the version read is the version written",
        "读到的正是写入的那个版本"),
    of("restore.put_back",
        "and nothing is left changed",
        "记忆已复原，没有留下任何改动"),
    of("act1.travel_remembered",
        "“Where am I going this weekend?” Travel is granted, and comes back word for word",
        "“这周末我去哪儿？”旅行记忆已授权，一字不差地读回"),
    of("act1.family_withheld",
        "family is not granted: nothing comes back, not even whether there is anything",
        "家庭记忆未授权：什么也读不到，连有没有内容都无从得知"),
    of("act1.personal_withheld",
        "personal is not granted either: the same answer, word for word",
        "个人记忆同样未授权：得到的是一模一样的回答"),
    of("act1.one_row_each",
        "three reads, three rows, the refused ones too",
        "读取三次，记录三条，被拒绝的也在其中"),
    of("act2.600_denied",
        "¥600 against a daily cap of ¥500: denied by arithmetic, not by a model",
        "每日限额 ¥500，要花 ¥600：拒绝。靠算术判定，不靠模型"),
    of("act2.200_accepted",
        "¥200 fits: accepted, and set aside",
        "¥200 在限额之内：批准，并预留额度"),
    of("act2.400_then_400_denied",
        "daily means daily: ¥400 is accepted, and ¥400 again the same day is denied",
        "每日就是每日：¥400 获批，同一天再花 ¥400 即被拒绝"),
    of("act2.unknown_scope",
        "an action that no policy names is denied",
        "策略中没有的操作，一律拒绝"),
    of("act2.one_row_each",
        "five checks, five rows",
        "检查五次，记录五条"),
    of("act3.cap_minted",
        "while it still may, the vendor gets a signed payment capability, and it is live",
        "授权还在时，厂商领到一枚经过签名的支付能力令牌，当前有效"),
    of("act3.revoked_by_second_process",
        "the parent takes payment.* back, from another process",
        "家长在另一个进程中收回 payment.*"),
    of("act3.next_check_denied",
        "the very next check is denied",
        "紧接着的下一次检查即被拒绝"),
    of("act3.cap_dead",
        "the capability from before is dead too, however well it is signed",
        "先前领到的能力令牌同时作废，签名再真也无效"),
    of("act3.row_in_feed",
        "both rows are in the live feed within a second",
        "两条记录一秒之内出现在实时审计流中"),
    of("restore.grants",
        "the grants are as before",
        "授权已恢复原样"),
    of("restore.budget",
        "the money set aside is free again",
        "预留的额度已全部释放"),
    of("restore.memory",
        "the memory is as before",
        "记忆与演示之前完全一致"),
];

/// What a step does or proves, for who watches; nothing for a step that is none of ours.
pub fn caption(lang: Lang, id: &str) -> &'static str {
    let found = CAPTIONS.iter().find(|caption| caption.id == id);
    found.map_or("", |caption| match lang {
        Lang::En => caption.en,
        Lang::Zh => caption.zh,
    })
}

/// A text that belongs to no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A step that held.
    Ok,
    /// A step that was not tried.
    Skip,
    /// A step that did not hold.
    Fail,
    /// Before what should have been.
    Expected,
    /// Before what was.
    Got,
    /// The actor.
    Actor,
    /// Where its id comes from.
    Derived,
    /// The wallet above it.
    Wallet,
    /// What travelled.
    Content,
    /// The first rail.
    RailOne,
    /// The second rail.
    RailTwo,
    /// What speaks on the first rail.
    RailOneHost,
    /// What plays Ark when it is not Ark.
    StandIn,
    /// The vendor.
    Vendor,
    /// Permissioned memory.
    ActOne,
    /// Deterministic denial.
    ActTwo,
    /// Online revocation.
    ActThree,
    /// It held.
    Proved,
    /// It did not.
    NotProved,
    /// What the cross-rail proof shows.
    CrossRailShown,
    /// What the three acts show.
    ThreeActsShown,
    /// A row's place in the log.
    Seq,
    /// When it was written.
    Time,
    /// The rail it came over.
    Rail,
    /// The tool.
    Tool,
    /// The verdict.
    Verdict,
    /// The memory's version.
    Version,
    /// The content's tag.
    ContentTag,
    /// The verdict's reason.
    Reason,
    /// The reason for people.
    Explanation,
}

/// A text in a language. A missing one does not compile.
#[rustfmt::skip]
pub const fn word(lang: Lang, word: Word) -> &'static str {
    let (en, zh) = match word {
        Word::Ok => ("ok", "通过"),
        Word::Skip => ("skip", "跳过"),
        Word::Fail => ("FAIL", "失败"),
        Word::Expected => ("expected:", "应为："),
        Word::Got => ("got:", "实为："),
        Word::Actor => ("actor", "身份"),
        Word::Derived => ("derived", "推算自"),
        Word::Wallet => ("wallet", "钱包"),
        Word::Content => ("content", "内容"),
        Word::RailOne => ("rail 1", "轨道一"),
        Word::RailTwo => ("rail 2", "轨道二"),
        Word::RailOneHost => ("xiaozhi, as xiaozhi-server speaks", "xiaozhi，与 xiaozhi-server 的协议一致"),
        Word::StandIn => ("stand-in, scripted model", "内置替身，模型按脚本应答"),
        Word::Vendor => ("vendor", "厂商"),
        Word::ActOne => ("act 1, permissioned memory", "第一幕 授权的记忆"),
        Word::ActTwo => ("act 2, deterministic denial", "第二幕 确定性拒绝"),
        Word::ActThree => ("act 3, online revocation", "第三幕 即时撤权"),
        Word::Proved => ("proved", "证明成立"),
        Word::NotProved => ("NOT PROVED", "证明不成立"),
        Word::CrossRailShown => (
            "written on one rail, read byte for byte on the other, one actor in both rails' rows",
            "一条轨道写入，另一条轨道逐字节读回，两边的记录同属一个身份"),
        Word::ThreeActsShown => (
            "remembered by permission, denied by arithmetic, taken back at once",
            "记忆凭授权，拒绝靠算术，撤权即刻生效"),
        Word::Seq => ("seq", "序号"),
        Word::Time => ("time", "时间"),
        Word::Rail => ("rail", "轨道"),
        Word::Tool => ("tool", "工具"),
        Word::Verdict => ("verdict", "裁决"),
        Word::Version => ("v", "版本"),
        Word::ContentTag => ("content tag", "内容标签"),
        Word::Reason => ("reason", "理由"),
        Word::Explanation => ("explanation", "说明"),
    };
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceptance::{cross_rail, three_acts};
    use std::collections::BTreeSet;

    #[test]
    fn every_step_has_its_caption_in_both_languages_and_every_caption_its_step() {
        let steps: BTreeSet<&str> = cross_rail::STEPS
            .into_iter()
            .chain(three_acts::STEPS)
            .collect();
        let captions: BTreeSet<&str> = CAPTIONS.iter().map(|c| c.id).collect();
        assert_eq!(captions, steps);
        assert_eq!(captions.len(), CAPTIONS.len(), "an id has two captions");
        for caption in CAPTIONS {
            let han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
            assert!(
                !caption.en.is_empty() && !caption.en.contains(han),
                "{}",
                caption.id
            );
            assert!(caption.zh.contains(han), "{}", caption.id);
        }
    }

    #[test]
    fn rows_are_compared_in_plain_words() {
        let said = |id| caption(Lang::En, id);
        let same = "both hosts' rows have the same actor_omni";
        assert_eq!(said("audit.same_actor_omni"), same);
        let tag = "the same content: the tags are equal, and a tag does not reveal it";
        assert_eq!(said("audit.same_content_tag"), tag);
        assert_eq!(word(Lang::Zh, Word::ActTwo), "第二幕 确定性拒绝");
        assert_eq!(word(Lang::Zh, Word::ActThree), "第三幕 即时撤权");
    }

    /// As the screen, the listing and the pages call it.
    #[test]
    fn a_capability_has_one_name_in_chinese() {
        for caption in CAPTIONS.iter().filter(|c| c.en.contains("capability")) {
            assert!(caption.zh.contains("能力令牌"), "{}", caption.id);
        }
        assert!(CAPTIONS.iter().all(|c| !c.zh.contains("凭证")));
    }

    #[test]
    fn the_environment_chooses_the_language_and_its_first_word_counts() {
        let env = |pairs: &'static [(&str, &str)]| {
            Lang::of(|name| {
                let found = pairs.iter().find(|(n, _)| *n == name);
                found.map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(env(&[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(env(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(
            env(&[("LANG", "en_US"), ("LC_ALL", ""), ("LC_MESSAGES", "zh")]),
            Lang::Zh
        );
        assert_eq!(env(&[]), Lang::En);
    }
}
