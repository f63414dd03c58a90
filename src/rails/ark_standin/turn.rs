//! One response being made: list the servers' tools, do what was approved, do what the model plans,
//! and say what came of it.

use rmcp::model::Tool;
use serde_json::{Map, Value, json};

use super::App;
use super::error::ArkError;
use super::input::{Answered, Past};
use super::items;
use super::mcp::{self, Session};
use super::model::Plan;
use super::prompts::{Step, same_tool};
use super::request::{Asked, Choice};
use super::store::Owner;
use super::stream::Events;
use super::tools::Server;
use crate::text::clean_to;

/// Ark's own highest `max_tool_calls`.
const MOST_CALLS: u64 = 10;

/// A request that was found good, with the conversation that it continues.
pub(super) struct Job {
    pub(super) asked: Asked,
    /// Everything up to and with this request's input.
    pub(super) past: Vec<Past>,
    pub(super) answered: Vec<Answered>,
    /// Of the response, from a counter, so that two runs of a proof differ in nothing that matters.
    pub(super) number: u64,
    /// Unix seconds.
    pub(super) created_at: u64,
}

/// A server that answered, with the tools the model may see.
struct Open<'a> {
    server: &'a Server,
    session: Session,
    tools: Vec<Tool>,
}

struct Turn<'a> {
    app: &'a App,
    job: &'a Job,
    events: &'a mut Events,
    items: Vec<Value>,
    /// How often each server was called.
    calls: Map<String, Value>,
    called: u64,
    /// What the model will say.
    words: Vec<String>,
}

/// Makes the response; what could not be made is an error of Ark's shape.
pub(super) async fn play(
    app: &App,
    job: &Job,
    owner: &Owner,
    events: &mut Events,
) -> Result<Value, ArkError> {
    let begun = job.response("in_progress", &[], None);
    events.response("created", &begun).await;
    events.response("in_progress", &begun).await;
    let mut turn = Turn {
        app,
        job,
        events,
        items: Vec::new(),
        calls: Map::new(),
        called: 0,
        words: Vec::new(),
    };
    let deadline = app.dial.deadlines.response;
    let played = tokio::time::timeout(deadline, turn.play()).await;
    let usage = turn.usage();
    let items = turn.items;
    let response = match played {
        Ok(Ok(())) => job.response("completed", &items, Some(usage)),
        Ok(Err(error)) => {
            let failed = job.failed(&items, &error);
            events.response("failed", &failed).await;
            return Err(error);
        }
        // Calls may have been made, so this must not look like something to try again.
        Err(_) => {
            let seconds = deadline.as_secs_f32();
            let error = ArkError::internal(format!("The response took longer than {seconds} s."));
            let failed = job.failed(&items, &error);
            events.response("failed", &failed).await;
            return Ok(failed);
        }
    };
    app.keep(job, owner, &items, &response);
    events.response("completed", &response).await;
    Ok(response)
}

impl Turn<'_> {
    async fn play(&mut self) -> Result<(), ArkError> {
        let mut open = Vec::new();
        for server in &self.job.asked.servers {
            open.extend(self.list(server).await);
        }
        let done = self.act(&open).await;
        for one in open {
            one.session.close().await;
        }
        if done? {
            self.say().await;
        }
        Ok(())
    }

    /// The `mcp_list_tools` item, whatever came of it.
    async fn list<'s>(&mut self, server: &'s Server) -> Option<Open<'s>> {
        let (index, id) = self.next("mcpl");
        let begun = items::list_tools(&id, &server.label, &[], None);
        self.events.item("added", index, &begun).await;
        self.events
            .progress("mcp_list_tools.in_progress", index, &id)
            .await;
        let (open, how, item) = match mcp::open(server, &self.app.dial).await {
            Ok((session, mut tools)) => {
                tools.retain(|t| server.allows(&t.name));
                let item = items::list_tools(&id, &server.label, &tools, None);
                let open = Open {
                    server,
                    session,
                    tools,
                };
                (Some(open), "completed", item)
            }
            Err(error) => {
                let item = items::list_tools(&id, &server.label, &[], Some(&error));
                (None, "failed", item)
            }
        };
        self.events
            .progress(&format!("mcp_list_tools.{how}"), index, &id)
            .await;
        self.events.item("done", index, &item).await;
        self.items.push(item);
        open
    }

    /// Does what was approved, then what is planned; whether the model speaks afterwards.
    async fn act(&mut self, open: &[Open<'_>]) -> Result<bool, ArkError> {
        let mut past = self.job.past.clone();
        let mut go_on = true;
        for answered in &self.job.answered {
            go_on &= self.answer(answered, open, &mut past).await;
        }
        if !go_on {
            return Ok(true);
        }
        let said = past.iter().rev().find_map(|p| match p {
            Past::User(text) => Some(text.as_str()),
            _ => None,
        });
        let tools: Vec<(&str, &Tool)> = open
            .iter()
            .flat_map(|o| o.tools.iter().map(|t| (o.server.label.as_str(), t)))
            .collect();
        let choice = &self.job.asked.choice;
        let plan = Plan::make(&self.app.prompts, choice, said, &tools);
        for step in &plan.steps[plan.done(&past)..] {
            let found = find(open, plan.label.as_deref(), &step.tool);
            let Some((at, tool)) = found else {
                if matches!(choice, Choice::Mcp { name: Some(_), .. }) && !open.is_empty() {
                    let why = "names a tool that the server does not list";
                    return Err(ArkError::invalid("tool_choice.name", why));
                }
                self.words.push(format!(
                    "the scripted model would call {}, but no server lists it.",
                    step.tool
                ));
                break;
            };
            if !self.may_call(tool) {
                break;
            }
            if at.server.needs_approval(tool) {
                self.ask(at, tool, step).await;
                return Ok(false);
            }
            if !self.call(at, tool, step.arguments.clone()).await {
                break;
            }
        }
        if self.words.is_empty() {
            self.words.push(nothing_done(choice, &plan).to_owned());
        }
        Ok(true)
    }

    /// Does what one approval says; whether the plan goes on after it.
    async fn answer(
        &mut self,
        answered: &Answered,
        open: &[Open<'_>],
        past: &mut Vec<Past>,
    ) -> bool {
        let tool = &answered.tool;
        if !answered.approve {
            let reason = answered.reason.as_deref().unwrap_or_default();
            let reason = match clean_to(reason, 200) {
                reason if reason.is_empty() => reason,
                reason => format!(" ({reason})"),
            };
            self.words.push(format!(
                "{tool} was not approved{reason}, so it is not called."
            ));
            return false;
        }
        // The name is the server's own, so it must be there again as it was.
        let at = open
            .iter()
            .find(|o| o.server.label == answered.label && o.tools.iter().any(|t| t.name == *tool));
        let Some(at) = at else {
            self.words.push(format!(
                "{tool} was approved, but {} does not list it.",
                answered.label
            ));
            return false;
        };
        past.push(Past::Call { tool: tool.clone() });
        self.may_call(tool) && self.call(at, tool, answered.arguments.clone()).await
    }

    fn may_call(&mut self, tool: &str) -> bool {
        let most = self.job.asked.max_calls.unwrap_or(MOST_CALLS);
        if self.called < most {
            return true;
        }
        self.words.push(format!(
            "max_tool_calls is {most}, so {tool} is not called."
        ));
        false
    }

    async fn ask(&mut self, at: &Open<'_>, tool: &str, step: &Step) {
        let (index, id) = self.next("mcpr");
        let arguments = Value::Object(step.arguments.clone()).to_string();
        let item = items::approval_request(&id, &at.server.label, tool, &arguments);
        self.events.approval(index, &item).await;
        self.items.push(item);
    }

    /// Calls once; whether the tool answered without an error.
    async fn call(&mut self, at: &Open<'_>, tool: &str, arguments: Map<String, Value>) -> bool {
        let (index, id) = self.next("mcp");
        let label = &at.server.label;
        let text = Value::Object(arguments.clone()).to_string();
        let begun = items::call_begun(&id, label, tool);
        self.events.item("added", index, &begun).await;
        self.events
            .progress("mcp_call.in_progress", index, &id)
            .await;
        self.events.arguments(index, &id, &text).await;
        let answer = at.session.call(tool, arguments).await;
        let (how, words) = match &answer {
            Ok(output) => ("completed", format!("{tool} answered: {output}")),
            Err(error) => ("failed", format!("{tool} failed: {error}")),
        };
        let answer = answer.as_deref().map_err(String::as_str);
        let item = items::call(&id, label, tool, &text, answer);
        self.events
            .progress(&format!("mcp_call.{how}"), index, &id)
            .await;
        self.events.item("done", index, &item).await;
        self.items.push(item);
        self.words.push(words);
        self.called += 1;
        let before = self.calls.get(label).and_then(Value::as_u64);
        let count = before.unwrap_or_default() + 1;
        self.calls.insert(label.clone(), count.into());
        how == "completed"
    }

    async fn say(&mut self) {
        let (index, id) = self.next("msg");
        let text = format!("[stand-in] {}", self.words.join("\n"));
        let item = items::message(&id, &text);
        self.events.message(index, &id, &text, &item).await;
        self.items.push(item);
    }

    fn next(&self, kind: &str) -> (usize, String) {
        let index = self.items.len();
        let id = format!("{kind}_{}_{}", self.job.number, index + 1);
        (index, id)
    }

    /// A script uses no tokens; the tools' part is real.
    fn usage(&self) -> Value {
        let mut usage = json!({
            "input_tokens": 0, "output_tokens": 0, "total_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        });
        if !self.job.asked.servers.is_empty() {
            usage["tool_usage"] = json!({"mcp": self.called});
            usage["tool_usage_details"] = json!({"mcp": self.calls});
        }
        usage
    }
}

fn nothing_done(choice: &Choice, plan: &Plan) -> &'static str {
    match choice {
        Choice::None => "the caller's tool_choice is none, so no tool is called.",
        _ if !plan.steps.is_empty() => "all that the prompt table says about this is done already.",
        Choice::Required | Choice::Mcp { .. } => {
            "a tool must be called, but no row of the prompt table fits and none is listed that \
             needs no argument."
        }
        Choice::Auto => {
            "the scripted model knows no answer to this: no row of its prompt table fits."
        }
    }
}

fn find<'o, 's>(
    open: &'o [Open<'s>],
    label: Option<&str>,
    wanted: &str,
) -> Option<(&'o Open<'s>, &'o str)> {
    open.iter()
        .filter(|o| label.is_none_or(|l| l == o.server.label))
        .find_map(|o| {
            let tool = o.tools.iter().find(|t| same_tool(&t.name, wanted))?;
            Some((o, tool.name.as_ref()))
        })
}

impl Job {
    pub(super) fn id(&self) -> String {
        format!("resp_{}", self.number)
    }

    fn failed(&self, items: &[Value], error: &ArkError) -> Value {
        let mut response = self.response("failed", items, None);
        response["error"] = error.in_response();
        response
    }

    /// The response object. Only what the request set is repeated, and what Ark always tells.
    fn response(&self, status: &str, items: &[Value], usage: Option<Value>) -> Value {
        let mut out = json!({
            "created_at": self.created_at,
            "id": self.id(),
            "model": self.asked.model,
            "object": "response",
            "output": items,
            "status": status,
            "tools": self.asked.tools,
            "store": self.asked.keep_until.is_some(),
        });
        if let Some(usage) = usage {
            out["usage"] = usage;
        }
        if let Some(until) = self.asked.keep_until {
            out["expire_at"] = until.into();
        }
        for (field, value) in &self.asked.echo {
            out[field] = value.clone();
        }
        out
    }
}
