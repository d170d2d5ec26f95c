//! A text in the user's own editor.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use tempfile::NamedTempFile;

use super::Error;
use super::client::variable;

/// A text that somebody has edited, and the file that it is in. Dropped, the file is removed.
#[derive(Debug)]
pub struct Draft {
    /// The text.
    pub text: String,
    file: NamedTempFile,
}

impl Draft {
    /// Has `text` edited by $VISUAL, or else $EDITOR, and waits until the editor ends. Only
    /// where there is a terminal.
    pub fn edit(text: &str) -> Result<Self, Error> {
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            return Err(Error::Usage(
                "there is no terminal to edit on: name the value with --file".to_owned(),
            ));
        }
        let editor = variable("VISUAL").or_else(|| variable("EDITOR"));
        let editor = editor.ok_or_else(|| {
            Error::Usage("neither VISUAL nor EDITOR is set: name the value with --file".to_owned())
        })?;
        Self::edit_with(&editor, text)
    }

    fn edit_with(editor: &str, text: &str) -> Result<Self, Error> {
        // Readable by nobody else: it may hold personal data.
        let file = tempfile::Builder::new()
            .prefix("headgate-")
            .suffix(".json")
            .tempfile();
        let mut file = file.map_err(|error| failed("no file can be made to edit", error))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.flush())
            .map_err(|error| failed("the text to edit cannot be written", error))?;
        // By the shell, because editors are set with arguments: `code --wait`.
        let ended = Command::new("sh")
            .args(["-c", &format!("{editor} \"$1\""), "sh"])
            .arg(file.path())
            .status()
            .map_err(|error| failed("the editor cannot be started", error))?;
        if !ended.success() {
            return Err(Error::Refused(
                format!("the editor `{editor}` failed: {ended}"),
                None,
            ));
        }
        let text = read(file.path())?;
        Ok(Self { text, file })
    }

    /// Leaves the file where it is, because nothing came of its text, and says where.
    pub fn keep(self) {
        match self.file.keep() {
            Ok((_, path)) => eprintln!("what you wrote is in {}", path.display()),
            Err(error) => eprintln!("what you wrote is lost: {error}"),
        }
    }
}

/// Editors replace files rather than write into them: it is opened anew.
fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| failed("what was edited cannot be read", error))
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::Refused(what.to_owned(), Some(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_editor_leaves_is_the_text_and_the_file_goes_with_it() {
        let draft = Draft::edit_with("sed -i s/one/two/", "one").expect("sed is an editor");
        assert_eq!(draft.text, "two");
        let path = draft.file.path().to_owned();
        assert!(path.exists());
        drop(draft);
        assert!(!path.exists());
    }

    #[test]
    fn what_came_to_nothing_is_kept() {
        let draft = Draft::edit_with("true", "text").expect("it ends well");
        let path = draft.file.path().to_owned();
        draft.keep();
        assert_eq!(read(&path).expect("it is there"), "text");
        std::fs::remove_file(path).expect("it is removed");
    }

    #[test]
    fn an_editor_that_fails_edits_nothing() {
        let refused = Draft::edit_with("false", "text").expect_err("it fails");
        assert!(matches!(refused, Error::Refused(..)), "{refused}");
    }
}
