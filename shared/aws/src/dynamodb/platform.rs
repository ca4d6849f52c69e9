//! The platform's named tokens as one item of the registry table: `pk` and `sk` are `platform` and `tokens`. A JSON list, so
//! that one read returns them all and a change replaces them all.

use annals_core::{
    log::store::StoreError,
    platform::{PlatformScope, PlatformToken, PlatformTokens},
    time::Timestamp,
    token::TokenId,
};
use serde::{Deserialize, Serialize};

use super::item::{Attributes, Builder, Item, PK, SK, VERSION, malformed};

const PLATFORM_TOKENS: &str = "platformTokens";

/// A token as it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id: String,
    /// Hexadecimal.
    hash: String,
    name: String,
    scopes: Vec<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<String>,
}

impl Stored {
    fn of(token: &PlatformToken) -> Self {
        Self {
            id: token.id.to_string(),
            hash: hex::encode(token.hash.0),
            name: token.name.clone(),
            scopes: token.scope_names().into_iter().map(str::to_owned).collect(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            replaces: token.replaces.as_ref().map(TokenId::to_string),
            replaced_by: token.replaced_by.as_ref().map(TokenId::to_string),
        }
    }

    /// A scope that this version does not know grants nothing.
    fn token(self) -> Option<PlatformToken> {
        let id = |text: Option<String>| text.map(|text| text.parse().ok()).map_or(Some(None), |id| id.map(Some));
        Some(PlatformToken {
            id: self.id.parse().ok()?,
            hash: self.hash.parse().ok()?,
            name: self.name,
            scopes: self.scopes.iter().filter_map(|name| PlatformScope::named(name)).collect(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            replaces: id(self.replaces)?,
            replaced_by: id(self.replaced_by)?,
        })
    }
}

pub(super) fn tokens_key() -> Attributes {
    Builder::default().text(PK, "platform").text(SK, "tokens").build()
}

pub(super) fn tokens_item(tokens: &PlatformTokens) -> Result<Attributes, StoreError> {
    let stored: Vec<Stored> = tokens.tokens.iter().map(Stored::of).collect();
    let text = serde_json::to_string(&stored).map_err(|error| StoreError::Broken(error.into()))?;
    let mut item = Builder::default().text(PLATFORM_TOKENS, text).number(VERSION, tokens.version).build();
    item.extend(tokens_key());
    Ok(item)
}

pub(super) fn read_tokens(item: &Item) -> Result<PlatformTokens, StoreError> {
    let stored: Vec<Stored> =
        serde_json::from_str(item.text(PLATFORM_TOKENS)?).map_err(|_| malformed(PLATFORM_TOKENS))?;
    let tokens: Option<Vec<PlatformToken>> = stored.into_iter().map(Stored::token).collect();
    Ok(PlatformTokens { tokens: tokens.ok_or_else(|| malformed(PLATFORM_TOKENS))?, version: item.number(VERSION)? })
}
