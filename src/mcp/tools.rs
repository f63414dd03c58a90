//! The tools, as one table: what `tools/list` shows and how a call is read come from the same row.

use super::schema::{Field, Kind};
use crate::authority::calls::audit::{MAX_STATEMENT, Statement};
use crate::authority::calls::cap::Mint;
use crate::authority::calls::memory::{Mode, Put};
use crate::authority::calls::permission::Check;
use crate::authority::calls::{Call, InputProblem};
use crate::authority::cap::CapOp;
use crate::authority::words::Namespace;
use crate::secret::Secret;
use serde_json::{Map, Value};

/// One tool.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Canonical, dotted name.
    pub name: &'static str,
    /// A title for people.
    pub title: &'static str,
    /// What it does and when to use it, in English and Chinese, so that a model picks it.
    pub about: &'static str,
    /// Its arguments besides `actor`.
    pub fields: &'static [Field],
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Whether doing it twice is doing it once.
    pub idempotent: bool,
    /// Listed so that hosts see the full shape; not built yet.
    pub preview: bool,
    read: Reader,
}

/// Makes a call of a tool's arguments.
type Reader = fn(&mut Args) -> Result<Call, InputProblem>;

const ACTOR: Field = Field {
    name: "actor",
    kind: Kind::Text,
    required: false,
    about: "Leave out: the connection already says who the actor is. 无需填写：连接本身已确定主体。",
};

const NAMESPACES: &[&str] = &["personal", "family", "work", "travel"];

const NAMESPACE: Field = Field {
    name: "namespace",
    kind: Kind::OneOf(NAMESPACES),
    required: true,
    about: "Which memory: travel = trips and plans, family, work, personal = tastes and health. 记忆分区。",
};

const fn field(name: &'static str, kind: Kind, required: bool, about: &'static str) -> Field {
    Field {
        name,
        kind,
        required,
        about,
    }
}

/// Every tool, in the order it is listed.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "agentkeys.identity.whoami",
        title: "Who am I",
        about: "Tells who the current user is and what this device may do for them. Use it before acting for someone. 查询当前用户的身份与本设备获得的授权；代表用户行动前先调用。",
        fields: &[],
        read_only: true,
        idempotent: true,
        preview: false,
        read: |_| Ok(Call::Whoami),
    },
    Tool {
        name: "agentkeys.memory.get",
        title: "Read memory",
        about: "Reads what the user asked to be remembered. ALWAYS use it when the user asks about their trips, plans, family, work or preferences; never guess. 读取用户的记忆；用户问到行程、计划、家人、工作或喜好时必须调用，不要猜测。",
        fields: &[
            NAMESPACE,
            field(
                "version",
                Kind::Integer,
                false,
                "An older version, counted from 1; leave out for the current one. 历史版本号，通常无需填写。",
            ),
        ],
        read_only: true,
        idempotent: true,
        preview: false,
        read: memory_get,
    },
    Tool {
        name: "agentkeys.memory.put",
        title: "Write memory",
        about: "Remembers something for the user. ALWAYS use it when the user says to remember or correct something. 为用户记住内容；用户要求记住或更正时必须调用。",
        fields: &[
            NAMESPACE,
            field(
                "content",
                Kind::Text,
                true,
                "What to remember, as plain text. 要记住的内容。",
            ),
            field(
                "mode",
                Kind::OneOf(&["replace", "append"]),
                false,
                "replace (default) takes the place of what is there, append adds a line. 覆盖或追加。",
            ),
            field(
                "if_version",
                Kind::Integer,
                false,
                "Write only if this is still the current version; 0 means nothing is there yet. 仅当版本未变时写入。",
            ),
        ],
        read_only: false,
        idempotent: true,
        preview: false,
        read: memory_put,
    },
    Tool {
        name: "agentkeys.permission.check",
        title: "Check a permission",
        about: "Asks whether something is allowed. ALWAYS use it before ordering, paying or subscribing, and obey the verdict: accept, deny or ask_parent. 判断操作是否被允许；下单、付款、订阅之前必须调用，并遵守结果。",
        fields: &[
            field(
                "scope",
                Kind::Text,
                true,
                "What is to be done: payment.spend, payment.subscribe, memory.read, memory.write. 操作名称。",
            ),
            field(
                "params",
                Kind::Object,
                false,
                "Details: amount_rmb (yuan, at most two decimals), reference (your order number). 参数：金额（元）与订单号。",
            ),
            field(
                "amount_rmb",
                Kind::Number,
                false,
                "The amount in yuan, when it is not in params. 金额（元）。",
            ),
        ],
        read_only: false,
        idempotent: false,
        preview: false,
        read: permission_check,
    },
    Tool {
        name: "agentkeys.cap.mint",
        title: "Mint a capability",
        about: "Mints a short-lived capability for one operation, to hand to a service that acts next. 为下一步操作签发一次性的短期能力令牌。",
        fields: &[
            field(
                "op",
                Kind::OneOf(&["memory_get", "memory_put", "payment_spend"]),
                true,
                "What it is for. 用途。",
            ),
            field(
                "params",
                Kind::Object,
                false,
                "namespace for memory; amount_rmb and, after a permission check, its decision_id for payments. 参数。",
            ),
            field(
                "ttl",
                Kind::Integer,
                false,
                "Seconds it lives: at most 300, for payments 60. 有效秒数。",
            ),
        ],
        read_only: false,
        idempotent: false,
        preview: false,
        read: cap_mint,
    },
    Tool {
        name: "agentkeys.cap.revoke",
        title: "Take a capability back",
        about: "Takes a capability back at once. 立即收回能力令牌。",
        fields: &[field(
            "cap_id",
            Kind::Text,
            true,
            "The id that agentkeys_cap_mint gave. 令牌编号。",
        )],
        read_only: false,
        idempotent: true,
        preview: false,
        read: |args| {
            Ok(Call::CapRevoke {
                cap_id: args.text("cap_id")?.to_owned(),
            })
        },
    },
    Tool {
        name: "agentkeys.audit.append",
        title: "State for the record",
        about: "Puts what you did on the user's record, in your own words. Use it after acting for the user. 把你所做的事写入用户的审计记录；代表用户行动之后调用。",
        fields: &[field(
            "event",
            Kind::Object,
            true,
            "kind (a short word), body (object), intent_text (one sentence), result (success, failure). 事件内容。",
        )],
        read_only: false,
        idempotent: false,
        preview: false,
        read: audit_append,
    },
    preview(
        "agentkeys.delegation.grant",
        "Delegate (preview)",
        "Preview, not available yet: lets another agent act for the user. 预览，尚不可用：授权其他智能体。",
        &[
            field("delegate", Kind::Text, true, "Who may act. 被授权者。"),
            field("scope", Kind::Text, true, "For what. 授权范围。"),
            field(
                "ttl",
                Kind::Integer,
                false,
                "For how many seconds. 有效秒数。",
            ),
        ],
        |_| {
            Ok(Call::Preview {
                tool: "agentkeys.delegation.grant",
            })
        },
    ),
    preview(
        "agentkeys.delegation.revoke",
        "Take a delegation back (preview)",
        "Preview, not available yet: takes a delegation back. 预览，尚不可用：收回授权。",
        &[field(
            "delegation_id",
            Kind::Text,
            true,
            "Which one. 授权编号。",
        )],
        |_| {
            Ok(Call::Preview {
                tool: "agentkeys.delegation.revoke",
            })
        },
    ),
    preview(
        "agentkeys.approval.request",
        "Ask for approval (preview)",
        "Preview, not available yet: asks a parent for a yes. 预览，尚不可用：请求家长批准。",
        &[
            field("scope", Kind::Text, true, "For what. 审批事项。"),
            field("params", Kind::Object, false, "Details. 参数。"),
        ],
        |_| {
            Ok(Call::Preview {
                tool: "agentkeys.approval.request",
            })
        },
    ),
];

const fn preview(
    name: &'static str,
    title: &'static str,
    about: &'static str,
    fields: &'static [Field],
    read: Reader,
) -> Tool {
    Tool {
        name,
        title,
        about,
        fields,
        read_only: true,
        idempotent: true,
        preview: true,
        read,
    }
}

impl Tool {
    /// The name with underscores: what model providers accept.
    pub fn alias(&self) -> String {
        self.name.replace('.', "_")
    }

    /// Its arguments' schema, `actor` included.
    pub fn schema(&self) -> Map<String, Value> {
        let mut fields = self.fields.to_vec();
        fields.push(ACTOR);
        super::schema::of(&fields)
    }

    /// Reads a call. Arguments it does not know are a mistake the caller is told about, except on
    /// a preview, which answers one thing whatever is asked.
    pub fn read(&self, arguments: Map<String, Value>) -> Result<Call, InputProblem> {
        let mut args = Args { map: arguments };
        args.map.remove(ACTOR.name);
        let known = |key: &String| self.fields.iter().any(|f| f.name == key);
        if !self.preview
            && let Some(unknown) = args.map.keys().find(|k| !known(k))
        {
            let names: Vec<_> = self.fields.iter().map(|f| f.name).collect();
            return Err(InputProblem::new(
                "agentkeys.tool.argument_unknown",
                format!(
                    "there is no argument {:?}; this tool takes: {}",
                    crate::text::clean_to(unknown, 40),
                    names.join(", ")
                ),
            ));
        }
        args.map.retain(|_, value| !value.is_null());
        (self.read)(&mut args)
    }
}

/// Finds a tool by its dotted name or its alias.
pub fn find(name: &str) -> Option<&'static Tool> {
    let same = |canonical: &str| {
        canonical.len() == name.len()
            && canonical
                .bytes()
                .zip(name.bytes())
                .all(|(c, n)| c == n || (c == b'.' && n == b'_'))
    };
    TOOLS.iter().find(|t| same(t.name))
}

/// Arguments on their way to a call.
struct Args {
    map: Map<String, Value>,
}

impl Args {
    fn invalid(name: &str, what: &str) -> InputProblem {
        InputProblem::new(
            "agentkeys.tool.argument_invalid",
            format!("`{name}` must be {what}"),
        )
    }

    fn text(&self, name: &str) -> Result<&str, InputProblem> {
        let text = self.map.get(name).and_then(Value::as_str);
        text.ok_or_else(|| Self::invalid(name, "text"))
    }

    fn integer(&self, name: &str) -> Result<Option<u64>, InputProblem> {
        let Some(value) = self.map.get(name) else {
            return Ok(None);
        };
        let number = whole(value).map(Some);
        number.ok_or_else(|| Self::invalid(name, "a whole number that is not negative"))
    }

    fn object(&mut self, name: &str) -> Result<Map<String, Value>, InputProblem> {
        match self.map.remove(name) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(Self::invalid(name, "an object")),
        }
    }

    fn namespace(&self) -> Result<Namespace, InputProblem> {
        let word = self.text("namespace")?;
        word.parse()
            .map_err(|_| crate::authority::calls::cap::unknown_namespace())
    }
}

/// A whole number; `3.0` is one, since models write it.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        let fits = float.fract() == 0.0 && (0.0..9e15).contains(&float);
        fits.then(|| format!("{float:.0}").parse().ok())?
    })
}

fn memory_get(args: &mut Args) -> Result<Call, InputProblem> {
    Ok(Call::MemoryGet {
        namespace: args.namespace()?,
        version: args.integer("version")?.filter(|v| *v > 0),
    })
}

fn memory_put(args: &mut Args) -> Result<Call, InputProblem> {
    let mode = match args.map.get("mode").map(Value::as_str) {
        None | Some(Some("replace")) => Mode::Replace,
        Some(Some("append")) => Mode::Append,
        Some(_) => return Err(Args::invalid("mode", "replace or append")),
    };
    Ok(Call::MemoryPut(Put {
        namespace: args.namespace()?,
        content: Secret::new(args.text("content")?.to_owned()),
        mode,
        if_version: args.integer("if_version")?,
    }))
}

/// The longest scope, in bytes.
const MAX_SCOPE: usize = 80;

/// The longest text in `params`, in bytes.
const MAX_PARAM: usize = 128;

/// Params whose texts are short: they are kept, compared and shown.
fn bounded(params: Map<String, Value>) -> Result<Map<String, Value>, InputProblem> {
    let long = |v: &Value| v.as_str().is_some_and(|t| t.len() > MAX_PARAM);
    match params.iter().find(|(_, v)| long(v)) {
        Some((key, _)) => Err(Args::invalid(
            &crate::text::clean_to(key, 40),
            "at most 128 characters long",
        )),
        None => Ok(params),
    }
}

fn permission_check(args: &mut Args) -> Result<Call, InputProblem> {
    let scope = args.text("scope")?.to_owned();
    if scope.len() > MAX_SCOPE {
        let message = format!("a scope has at most {MAX_SCOPE} characters");
        return Err(InputProblem::new(
            "agentkeys.permission.scope_too_long",
            message,
        ));
    }
    let mut params = bounded(args.object("params")?)?;
    if let Some(amount) = args.map.remove("amount_rmb") {
        params.entry("amount_rmb").or_insert(amount);
    }
    Ok(Call::PermissionCheck(Check { scope, params }))
}

fn cap_mint(args: &mut Args) -> Result<Call, InputProblem> {
    let op = match args.text("op")? {
        "memory_get" => CapOp::MemoryGet,
        "memory_put" => CapOp::MemoryPut,
        "payment_spend" => CapOp::PaymentSpend,
        _ => {
            let known = "memory_get, memory_put or payment_spend";
            return Err(Args::invalid("op", known));
        }
    };
    let ttl = args.integer("ttl").map_err(|_| {
        InputProblem::new(
            "agentkeys.cap.ttl_invalid",
            "`ttl` is a whole number of seconds from 1 on",
        )
    })?;
    let params = bounded(args.object("params")?)?;
    Ok(Call::CapMint(Box::new(Mint { op, params, ttl })))
}

fn audit_append(args: &mut Args) -> Result<Call, InputProblem> {
    let event = args.object("event")?;
    let kind = event.get("kind").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    if kind.is_empty() {
        return Err(InputProblem::new(
            "agentkeys.audit.kind_missing",
            "`event.kind` is a short word for what you did, such as order_placed",
        ));
    }
    let json = Value::Object(event).to_string();
    if json.len() > MAX_STATEMENT {
        return Err(InputProblem::new(
            "agentkeys.audit.event_too_large",
            "one statement holds at most 4 KiB; say less",
        ));
    }
    Ok(Call::AuditAppend(Statement {
        kind,
        json: Secret::new(json),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn read(name: &str, args: Value) -> Result<Call, InputProblem> {
        let Value::Object(map) = args else {
            panic!("arguments are an object")
        };
        find(name).unwrap().read(map)
    }

    #[test]
    fn there_are_seven_tools_and_three_previews() {
        assert_eq!(TOOLS.iter().filter(|t| !t.preview).count(), 7);
        assert_eq!(TOOLS.iter().filter(|t| t.preview).count(), 3);
    }

    #[test]
    fn every_schema_is_one_that_every_host_accepts() {
        for tool in TOOLS {
            let schema = tool.schema();
            let keys: Vec<_> = schema.keys().collect();
            assert_eq!(keys, ["type", "properties", "required"], "{}", tool.name);
            let properties = schema["properties"].as_object().unwrap();
            for (name, property) in properties {
                let property = property.as_object().unwrap();
                assert!(
                    property["description"].as_str().unwrap().len() > 5,
                    "{name}"
                );
                let kind = property["type"].as_str().unwrap();
                assert!(["string", "integer", "number", "object"].contains(&kind));
                let allowed = ["type", "enum", "description"];
                assert!(property.keys().all(|k| allowed.contains(&k.as_str())));
            }
            for name in schema["required"].as_array().unwrap() {
                assert!(properties.contains_key(name.as_str().unwrap()));
            }
        }
    }

    #[test]
    fn names_fit_providers_and_do_not_clash_after_sanitising() {
        let mut aliases: Vec<_> = TOOLS.iter().map(Tool::alias).collect();
        aliases.sort();
        aliases.dedup();
        assert_eq!(aliases.len(), TOOLS.len());
        for alias in aliases {
            assert!(alias.len() <= 32 && !alias.starts_with("mcp_"), "{alias}");
            assert!(alias.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert_eq!(find(&alias).unwrap().alias(), alias);
        }
        assert!(find("agentkeys.memory_get").is_some());
        assert!(find("agentkeys.memory-get").is_none());
    }

    #[test]
    fn descriptions_speak_both_languages_and_name_no_dotted_tool() {
        for tool in TOOLS {
            let chinese = |c| ('\u{4e00}'..='\u{9fff}').contains(&c);
            assert!(tool.about.chars().any(chinese));
            assert!(tool.about.chars().count() <= 260, "{}", tool.name);
            let fields = tool.fields.iter().map(|f| f.about);
            for text in fields.chain([tool.about]) {
                assert!(!text.contains("agentkeys."), "{text}");
            }
        }
    }

    #[test]
    fn wrong_arguments_say_what_to_do() {
        let code = |name: &str, args: Value| read(name, args).unwrap_err().code;
        let get = "agentkeys.memory.get";
        assert_eq!(code(get, json!({})), "agentkeys.tool.argument_invalid");
        assert_eq!(
            code(get, json!({"namespace": "profile"})),
            "agentkeys.memory.namespace_unknown"
        );
        assert_eq!(
            code(get, json!({"namespace": "travel", "nmespace": 1})),
            "agentkeys.tool.argument_unknown"
        );
        assert_eq!(
            code("agentkeys.cap.mint", json!({"op": "memory_get", "ttl": -1})),
            "agentkeys.cap.ttl_invalid"
        );
        let large = json!({"event": {"kind": "x", "body": "y".repeat(5000)}});
        assert_eq!(
            code("agentkeys.audit.append", large),
            "agentkeys.audit.event_too_large"
        );
        assert!(
            read(
                get,
                json!({"namespace": "travel", "version": null, "actor": "x"})
            )
            .is_ok()
        );
        assert!(read("agentkeys.delegation.grant", json!({"anything": 1})).is_ok());
    }

    #[test]
    fn an_amount_beside_the_scope_counts_like_one_in_params() {
        let args = json!({"scope": "payment.spend", "amount_rmb": 600});
        let Call::PermissionCheck(check) = read("agentkeys.permission.check", args).unwrap() else {
            panic!("another call")
        };
        assert_eq!(check.params["amount_rmb"], json!(600));
    }
}
