//! A proof on the screen: its steps, where it is, and what was just shown.

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// To come.
    Due,
    /// Going on.
    Now,
    /// As it should be.
    Passed,
    /// Otherwise.
    Failed,
}

impl Mark {
    /// One column wide, different without colour.
    pub const fn glyph(self) -> &'static str {
        match self {
            Self::Due => "\u{b7}",
            Self::Now => "\u{25b8}",
            Self::Passed => "\u{2713}",
            Self::Failed => "\u{2717}",
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name in every report.
    pub id: String,
    /// What it does or proves, in the reader's language.
    pub caption: String,
    /// How it stands.
    pub mark: Mark,
    /// How long it took.
    pub ms: u64,
    /// What should have been and what was, of one that failed.
    pub told: Option<(String, String)>,
}

/// What a proof tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scene {
    /// A step begins.
    Begins(String),
    /// A step is over.
    Done {
        /// Which.
        id: String,
        /// Whether it held.
        passed: bool,
        /// How long it took.
        ms: u64,
        /// What should have been.
        expected: String,
        /// What was.
        got: String,
    },
    /// It waits for a key before what is named so.
    Waits(String),
    /// It is over.
    Ended {
        /// Whether everything held.
        passed: bool,
        /// What that shows.
        sentence: String,
    },
}

/// Who is on the second rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// Volcano Ark.
    Ark,
    /// What answers in its place.
    StandIn,
    /// Nobody: the proof needs one rail.
    Nobody,
}

/// A proof, as far as it is.
#[derive(Debug, Clone)]
pub struct Play {
    /// What is proved.
    pub title: String,
    /// It drives nothing and looks on.
    pub observing: bool,
    /// Who is on the second rail.
    pub second: Second,
    /// A key starts its next act.
    pub in_acts: bool,
    steps: Vec<Step>,
    waits: Option<String>,
    ended: Option<(bool, String)>,
    last: Option<usize>,
}

impl Play {
    /// A proof whose steps are known and still to come, as ids and captions.
    pub fn new(title: &str, observing: bool, steps: Vec<(String, String)>) -> Self {
        let steps = steps.into_iter().map(|(id, caption)| Step {
            id,
            caption,
            mark: Mark::Due,
            ms: 0,
            told: None,
        });
        Self {
            title: title.to_owned(),
            observing,
            second: Second::Ark,
            in_acts: false,
            steps: steps.collect(),
            waits: None,
            ended: None,
            last: None,
        }
    }

    /// The same with somebody else, or nobody, on the second rail.
    #[must_use]
    pub const fn second(mut self, second: Second) -> Self {
        self.second = second;
        self
    }

    /// The same in acts that a key starts.
    #[must_use]
    pub const fn in_acts(mut self) -> Self {
        self.in_acts = true;
        self
    }

    /// Takes in what the proof tells.
    pub fn tell(&mut self, scene: Scene) {
        match scene {
            Scene::Begins(id) => {
                if let Some(step) = self.steps.iter_mut().find(|s| s.id == id) {
                    step.mark = Mark::Now;
                }
            }
            Scene::Done {
                id,
                passed,
                ms,
                expected,
                got,
            } => {
                let Some(at) = self.steps.iter().position(|s| s.id == id) else {
                    return;
                };
                let step = &mut self.steps[at];
                step.mark = if passed { Mark::Passed } else { Mark::Failed };
                step.ms = ms;
                step.told = (!passed).then_some((expected, got));
                // What failed stays in sight.
                if !passed || self.failed().is_none() {
                    self.last = Some(at);
                }
            }
            Scene::Waits(name) => self.waits = Some(name),
            Scene::Ended { passed, sentence } => {
                self.waits = None;
                self.ended = Some((passed, sentence));
            }
        }
    }

    /// Goes on, if it waits; says whether it did.
    pub fn go_on(&mut self) -> bool {
        self.waits.take().is_some()
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many are over.
    pub fn over(&self) -> usize {
        let over = |s: &&Step| matches!(s.mark, Mark::Passed | Mark::Failed);
        self.steps.iter().filter(over).count()
    }

    /// The first that failed.
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|s| s.mark == Mark::Failed)
    }

    /// The step to look at: the one that is going on, else the one that was over last.
    pub fn here(&self) -> usize {
        let now = self.steps.iter().position(|s| s.mark == Mark::Now);
        self.last
            .filter(|_| self.failed().is_some())
            .or(now)
            .or(self.last)
            .unwrap_or(0)
    }

    /// The step whose caption says what was just shown.
    pub fn shown_last(&self) -> Option<&Step> {
        self.last.map(|at| &self.steps[at])
    }

    /// What it waits for.
    pub fn waits(&self) -> Option<&str> {
        self.waits.as_deref()
    }

    /// Whether it is over, whether it held, and what that shows.
    pub const fn ended(&self) -> Option<&(bool, String)> {
        self.ended.as_ref()
    }
}
